//! A data directory that no server holds, opened for the time of one command: the owner and the routes, without a socket.
//!
//! The owner does what it does in a server: what is under way goes on for as long as the command takes.

use std::thread::JoinHandle;

use bff::Router;
use seedwork::executor::Stop;
use seedwork::executor::owner::Handle;
use ureq::http::Response;

use crate::lock::DataDirectory;
use crate::serve;
use crate::settings::Settings;
use crate::trouble::Trouble;

/// The largest answer that is taken, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// See the module's text. Dropped, the owner finishes what it has begun.
pub(super) struct Inside {
    runtime: tokio::runtime::Runtime,
    router: Router,
    handle: Handle,
    owner: Option<JoinHandle<Result<(), Stop>>>,
    _data: DataDirectory,
}

impl Inside {
    /// Opens the store of the data directory.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be used.
    pub fn open(settings: &Settings) -> Result<Inside, Trouble> {
        let data = DataDirectory::take(&settings.data)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Trouble::new(format!("cannot start what asks the store ({error})")))?;
        let store = data.store();
        let campaigns = campaign::Settings { opening_limit_major: settings.opening_limit };
        let (handle, owner, looks) = serve::own(&store, campaigns, serve::limits(settings), None)?;
        let edge = serve::edge(&handle, &store, campaigns, looks)?;
        let router = runtime.block_on(async { edge.router() });
        Ok(Inside { runtime, router, handle, owner: Some(owner), _data: data })
    }

    /// Asks as over HTTP.
    ///
    /// # Errors
    /// When what is asked is no request.
    pub fn ask(&self, asked: (&str, &str), headers: &[(&str, &str)], body: &str) -> Result<Response<String>, Trouble> {
        let asking = bff::ask(self.router.clone(), asked, headers, body.to_owned(), ANSWER_MAX);
        self.runtime.block_on(asking).map_err(|why| Trouble::new(format!("this cannot be asked: {why}")))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(Err(_)) | Some(Ok(Err(_))) = self.owner.take().map(JoinHandle::join) {
            tracing::error!("the store could not be written to its end; what was answered is durable all the same");
        }
    }
}
