//! A connection that asks one request after the other: HTTP/1.1, kept alive, and no more of it than a measurement needs, so that the
//! generator takes little of the machine that it measures.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most that an answer may be, in bytes: a measurement gets no larger one.
const ANSWER_MAX: usize = 1 << 20;

/// A connection to the server.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The text of the body's first member `status`, as the server writes JSON.
    pub fn told(&self) -> Option<&[u8]> {
        const NAME: &[u8] = b"\"status\"";
        let after = find(self.body, NAME)? + NAME.len();
        let mut rest = self.body.get(after..)?.trim_ascii_start();
        rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        rest.get(..rest.iter().position(|byte| *byte == b'"')?)
    }
}

/// Where `wanted` begins.
pub fn find(within: &[u8], wanted: &[u8]) -> Option<usize> {
    within.windows(wanted.len()).position(|window| window == wanted)
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// A text, when nobody listens there.
    pub async fn open(address: SocketAddr) -> Result<Connection, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("cannot connect to {address}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("cannot set up the connection: {error}"))?;
        Ok(Connection { stream, buffer: vec![0; 16 * 1024] })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// A text, when the connection breaks or what comes is not the kind of answer that this client understands.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer<'_>, String> {
        self.stream.write_all(request).await.map_err(|error| format!("cannot send: {error}"))?;
        let mut filled = 0;
        let (status, body, end) = loop {
            if let Some((status, body, end)) = head(&self.buffer[..filled])? {
                if end > ANSWER_MAX {
                    return Err(format!("an answer of {end} bytes"));
                }
                if self.buffer.len() < end {
                    self.buffer.resize(end, 0);
                }
                if filled >= end {
                    break (status, body, end);
                }
            } else if filled == self.buffer.len() {
                return Err("an answer whose head does not end".to_owned());
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await.map_err(|error| format!("cannot receive: {error}"))?;
            if read == 0 {
                return Err("the server closed the connection before it had answered".to_owned());
            }
            filled += read;
        };
        if filled > end {
            return Err("more was sent than was asked for".to_owned());
        }
        Ok(Answer { status, body: &self.buffer[body..end] })
    }
}

/// The status of an answer, and where its body begins and ends; nothing while its head is incomplete.
fn head(answer: &[u8]) -> Result<Option<(u16, usize, usize)>, String> {
    let Some(blank) = find(answer, b"\r\n\r\n") else { return Ok(None) };
    let text = || String::from_utf8_lossy(&answer[..blank]).into_owned();
    let status = answer
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse::<u16>().ok())
        .ok_or_else(|| format!("no HTTP/1.1 answer: {}", text()))?;
    let mut length = None;
    for line in answer[..blank].split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if line[..colon].eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(&line[colon + 1..]).ok().and_then(|text| text.trim().parse::<usize>().ok());
        }
    }
    match length {
        Some(length) => Ok(Some((status, blank + 4, blank + 4 + length))),
        None if status == 204 => Ok(Some((status, blank + 4, blank + 4))),
        None => Err(format!("an answer that does not tell its length: {}", text())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let text = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"id\":1}";
        assert_eq!(head(&text[..40]), Ok(None));
        assert_eq!(head(text), Ok(Some((201, text.len() - 8, text.len() + 1))));
        assert_eq!(head(b"HTTP/1.1 204 No Content\r\n\r\n"), Ok(Some((204, 27, 27))));
        assert!(head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap_err().contains("length"));
        assert!(head(b"SSH-2.0 hello\r\n\r\n").unwrap_err().contains("no HTTP/1.1"));
    }

    #[test]
    fn the_status_in_a_body_is_found() {
        let told = |body: &'static str| Answer { status: 200, body: body.as_bytes() }.told().map(<[u8]>::to_vec);
        assert_eq!(told(r#"{"id":"c-1","status":"completed"}"#), Some(b"completed".to_vec()));
        assert_eq!(told(r#"{"status" : "undone"}"#), Some(b"undone".to_vec()));
        assert_eq!(told(r#"{"status":409}"#), None);
        assert_eq!(told(r#"{"id":"c-1"}"#), None);
    }
}
