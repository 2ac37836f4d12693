//! What is asked of the server: requests whose bytes stand ready, and only a number in them changes.

use super::client::{Answer, find};

/// The first number of a measurement. Every number has twelve digits, so a request's length never changes.
pub const FIRST: u64 = 100_000_000_000;
/// How many brands share the campaigns of a load that is not about one brand.
pub const BRANDS: u64 = 10_000;

/// Stands in a text where the number goes.
const NUMBER: &str = "<<<number>>>";
/// Stands in a text where the number of the brand goes.
const BRAND: &str = "<<br>>";

/// A request into which the number is written before it is sent.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
    brands: Vec<usize>,
}

impl Template {
    fn new(method: &str, path: &str, headers: &str, body: &str) -> Template {
        let bytes = request(method, path, headers, body);
        let (numbers, brands) = (places(&bytes, NUMBER.as_bytes()), places(&bytes, BRAND.as_bytes()));
        Template { bytes, numbers, brands }
    }

    /// The request with this number.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        for (places, width, number) in [(&self.numbers, NUMBER.len(), number), (&self.brands, BRAND.len(), number % BRANDS)] {
            for place in places {
                let mut rest = number;
                for byte in self.bytes[*place..*place + width].iter_mut().rev() {
                    *byte = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
            }
        }
        &self.bytes
    }
}

fn places(within: &[u8], wanted: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(place) = find(&within[from..], wanted) {
        places.push(from + place);
        from += place + wanted.len();
    }
    places
}

/// The bytes of a request with a JSON body.
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// What an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// 201, and the saga completed.
    Completed,
    /// 201, and the saga completed; or 409, as it was registered before.
    There,
    /// 200, and the saga undone.
    Undone,
    /// Any 2xx.
    Done,
    /// 200, and a campaign, or a page with at least one.
    Some,
}

impl Expected {
    /// Whether the answer is that.
    ///
    /// # Errors
    /// What came instead.
    pub fn check(self, answer: &Answer<'_>) -> Result<(), String> {
        let completed = answer.status == 201 && answer.told() == Some(b"completed");
        let right = match self {
            Expected::Completed => completed,
            Expected::There => completed || answer.status == 409,
            Expected::Undone => answer.status == 200 && answer.told() == Some(b"undone"),
            Expected::Done => (200..300).contains(&answer.status),
            Expected::Some => answer.status == 200 && find(answer.body, b"\"id\":\"c-").is_some(),
        };
        if right {
            return Ok(());
        }
        let wanted = match self {
            Expected::Completed => "201 with \"status\": \"completed\"",
            Expected::There => "201 with \"status\": \"completed\", or 409",
            Expected::Undone => "200 with \"status\": \"undone\"",
            Expected::Done => "a 2xx",
            Expected::Some => "200 with a campaign",
        };
        let body: String = String::from_utf8_lossy(answer.body).chars().take(500).collect();
        Err(format!("expected {wanted}, got {} {body}", answer.status))
    }
}

/// A load: what is asked once before, and what is then asked again and again.
#[derive(Clone, Debug)]
pub struct Load {
    /// Its name in the table.
    pub name: String,
    /// Requests before the first, each to be answered with a 2xx.
    pub before: Vec<Vec<u8>>,
    /// Requests that take turns.
    pub turns: Vec<(Template, Expected)>,
    /// The numbers are not its own, but spread over so many from [`FIRST`] on.
    pub among: Option<u64>,
}

impl Load {
    fn of(name: impl Into<String>, turns: Vec<(Template, Expected)>) -> Load {
        Load { name: name.into(), before: Vec::new(), turns, among: None }
    }

    /// Whose turn a number is.
    pub fn turn(&self, number: u64) -> usize {
        (number % self.turns.len() as u64) as usize
    }

    /// The request with this number, and what its answer must be.
    pub fn numbered(&mut self, number: u64) -> (&[u8], Expected) {
        let turn = self.turn(number);
        let number = match self.among {
            // Fibonacci hashing: neighbours land far from each other, and none more often than another.
            Some(count) => {
                FIRST + ((u128::from((number - FIRST).wrapping_mul(0x9e37_79b9_7f4a_7c15)) * u128::from(count)) >> 64) as u64
            }
            None => number,
        };
        let (template, expected) = &mut self.turns[turn];
        (template.numbered(number), *expected)
    }

    /// Campaigns of so many participants, each of them new, over many brands.
    pub fn campaigns(run: &str, participants: usize) -> Load {
        let name = format!("{participants} participant{}", if participants == 1 { "" } else { "s" });
        Load::of(name, vec![(campaign(run, &brand(run), participants, None), Expected::Completed)])
    }

    /// The same with one participant, and every tenth campaign has one whom tracking refuses: row 3, undone.
    pub fn refused(run: &str) -> Load {
        let blocked = format!("p-{run}-blocked");
        let mut turns = vec![(campaign(run, &brand(run), 1, None), Expected::Completed); 9];
        turns.push((campaign(run, &brand(run), 1, Some(&blocked)), Expected::Undone));
        let before = vec![request("POST", "/v1/blocks", "", &format!(r#"{{"partner":"{blocked}"}}"#))];
        Load { before, ..Load::of("10 % refused", turns) }
    }

    /// One participant, and all campaigns are paid by one brand, whose limit is raised far beyond what they need.
    pub fn one_brand(run: &str) -> Load {
        let brand = format!("b-{run}");
        let path = format!("/v1/brands/{brand}/accounts/USD");
        let before = vec![request("PUT", &path, "", r#"{"limit":"10000000000.00"}"#)];
        Load { before, ..Load::of("one brand", vec![(campaign(run, &brand, 1, None), Expected::Completed)]) }
    }

    /// One campaign of many participants; of whom the last is refused, if so told.
    pub fn fan_out(run: &str, participants: usize, refused: bool) -> Load {
        let blocked = format!("p-{run}-blocked");
        let (last, expected) = if refused { (Some(blocked.as_str()), Expected::Undone) } else { (None, Expected::Completed) };
        let name = format!("{participants} participants, {}", if refused { "undone" } else { "completed" });
        let before = if refused { Load::refused(run).before } else { Vec::new() };
        Load { before, ..Load::of(name, vec![(campaign(run, &brand(run), participants, last), expected)]) }
    }

    /// Commands that change one number each: the limit of a brand's account.
    pub fn limits(run: &str) -> Load {
        let path = format!("/v1/brands/{}/accounts/USD", brand(run));
        let body = format!(r#"{{"limit":"{NUMBER}.00"}}"#);
        Load::of("set a limit", vec![(Template::new("PUT", &path, "", &body), Expected::Done)])
    }

    /// Campaigns that lists are asked for: of three kinds, of many brands, and each brand's of another name.
    pub fn catalogue(run: &str) -> Load {
        let of = |kind| (campaign_called(run, (&format!("Moda {BRAND}"), kind), &brand(run), 1, None), Expected::There);
        Load::of("campaigns to ask for", ["influencer", "affiliate", "mixed"].map(of).into())
    }

    /// What is asked of so many campaigns of a catalogue, in the order of [`QUERIES`].
    pub fn queries(run: &str, campaigns: u64) -> Load {
        let page = |filter: &str| (get(&format!("/v1/campaigns?limit=20&{filter}")), Expected::Some);
        let turns = vec![
            (get(&format!("/v1/campaigns/c-{run}-{NUMBER}")), Expected::Some),
            page("status=active"),
            page(&format!("brand={}", brand(run))),
            page("kind=affiliate"),
            page(&format!("name=moda%20{BRAND}")),
        ];
        Load { among: Some(campaigns), ..Load::of("queries", turns) }
    }
}

/// What [`Load::queries`] asks, in turn.
pub const QUERIES: [&str; 5] = ["by id", "by status", "by brand", "by kind", "by name"];

fn get(path: &str) -> Template {
    Template::new("GET", path, "", "")
}

fn brand(run: &str) -> String {
    format!("b-{run}-{BRAND}")
}

/// A campaign that asks to be answered when its saga has ended; `last` takes the place of its last participant.
fn campaign(run: &str, brand: &str, participants: usize, last: Option<&str>) -> Template {
    campaign_called(run, ("Moda", "mixed"), brand, participants, last)
}

/// The same, with another name and of another kind.
fn campaign_called(run: &str, (name, kind): (&str, &str), brand: &str, participants: usize, last: Option<&str>) -> Template {
    let people: Vec<String> = (1..=participants)
        .map(|place| {
            let id = match last {
                Some(last) if place == participants => last.to_owned(),
                _ => format!("p-{run}-{NUMBER}-{place}"),
            };
            format!(r#"{{"id":"{id}","kind":"influencer","name":"Alice Doe","profile":"Moda, 200k"}}"#)
        })
        .collect();
    let body = format!(
        r#"{{"id":"c-{run}-{NUMBER}","name":"{name}","kind":"{kind}","starts":"2025-09-10T00:00:00Z","ends":"2025-12-10T23:59:59Z","brand":"{brand}","budget":{{"amount":"15.00","currency":"USD"}},"participants":[{}]}}"#,
        people.join(",")
    );
    Template::new("POST", "/v1/campaigns", "Prefer: wait=10\r\n", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn only_the_number_changes_and_the_length_does_not() {
        let mut load = Load::campaigns("r", 2);
        let first = text(load.numbered(FIRST + 12_345).0);
        let second = text(load.numbered(FIRST + 12_346).0);
        assert_eq!(first.len(), second.len());
        assert!(first.contains(r#""id":"c-r-100000012345""#) && first.contains(r#""brand":"b-r-002345""#), "{first}");
        assert!(first.contains(r#""id":"p-r-100000012345-1""#) && first.contains(r#""id":"p-r-100000012345-2""#), "{first}");
        assert_eq!(first.replace("12345", "12346").replace("2345", "2346"), second);
        let (head, body) = first.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["participants"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn every_tenth_campaign_is_one_that_will_be_refused() {
        let mut load = Load::refused("r");
        let expected: Vec<Expected> = (FIRST..FIRST + 20).map(|number| load.numbered(number).1).collect();
        assert_eq!(expected.iter().filter(|one| **one == Expected::Undone).count(), 2);
        assert!(text(load.numbered(FIRST + 9).0).contains("p-r-blocked"));
        assert!(!text(load.numbered(FIRST + 10).0).contains("p-r-blocked"));
    }

    #[test]
    fn a_limit_is_another_each_time() {
        let mut load = Load::limits("r");
        let request = text(load.numbered(FIRST + 7).0);
        assert!(request.starts_with("PUT /v1/brands/b-r-000007/accounts/USD HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with(r#"{"limit":"100000000007.00"}"#), "{request}");
    }

    #[test]
    fn queries_ask_for_every_campaign_of_a_catalogue_and_for_no_other() {
        let mut queries = Load::queries("r", 100);
        let of = |request: &str| request.split_once(" HTTP").map(|(line, _)| line.to_owned()).unwrap();
        let mut asked = std::collections::BTreeSet::new();
        for number in FIRST..FIRST + 5000 {
            let turn = queries.turn(number);
            let (request, expected) = queries.numbered(number);
            let line = of(&text(request));
            assert_eq!(expected, Expected::Some);
            match QUERIES[turn] {
                "by id" => drop(asked.insert(line)),
                "by brand" => assert!(line.starts_with("GET /v1/campaigns?limit=20&brand=b-r-0000"), "{line}"),
                "by name" => assert!(line.starts_with("GET /v1/campaigns?limit=20&name=moda%200000"), "{line}"),
                _ => assert!(line.contains("limit=20&"), "{line}"),
            }
        }
        let all: std::collections::BTreeSet<_> =
            (FIRST..FIRST + 100).map(|number| format!("GET /v1/campaigns/c-r-{number}")).collect();
        assert_eq!(asked, all);
        let mut catalogue = Load::catalogue("r");
        let filled: Vec<_> = (FIRST..FIRST + 3).map(|number| text(catalogue.numbered(number).0)).collect();
        assert!(filled[0].contains(r#""name":"Moda 000000","#) && filled[2].contains(r#""name":"Moda 000002","#), "{filled:?}");
        assert!(["influencer", "affiliate", "mixed"].iter().all(|kind| filled.iter().any(|one| one.contains(kind))));
    }

    #[test]
    fn an_answer_that_is_not_the_expected_one_is_told() {
        let told = |expected: Expected, status, body: &str| expected.check(&Answer { status, body: body.as_bytes() });
        assert_eq!(told(Expected::Completed, 201, r#"{"status":"completed"}"#), Ok(()));
        assert_eq!(told(Expected::Undone, 200, r#"{"status":"undone"}"#), Ok(()));
        for (status, body) in [(202, r#"{"status":"completed"}"#), (201, r#"{"status":"running"}"#), (201, "{}")] {
            let told = told(Expected::Completed, status, body).unwrap_err();
            assert!(told.contains(&status.to_string()) && told.contains(body), "{told}");
        }
        assert!(told(Expected::Done, 503, "").is_err());
        assert_eq!(told(Expected::There, 409, ""), Ok(()));
        assert_eq!(told(Expected::Some, 200, r#"{"items":[{"id":"c-1"}]}"#), Ok(()));
        assert!(told(Expected::Some, 200, r#"{"items":[],"next":null}"#).is_err());
    }
}
