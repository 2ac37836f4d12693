//! Routes: axum's router, and the list of its paths, which axum keeps to itself.

use axum::Router;
use axum::routing::MethodRouter;

use crate::Shared;

/// A router that can tell its paths, so that a test can hold it against the description of the API.
#[derive(Default)]
pub(crate) struct Routes {
    pub router: Router<Shared>,
    pub paths: Vec<String>,
}

impl Routes {
    pub fn new() -> Routes {
        Routes::default()
    }

    /// As axum's own. A path is described in a file below `openapi`, each of its methods.
    #[must_use]
    pub fn route(mut self, path: &str, methods: MethodRouter<Shared>) -> Routes {
        self.paths.push(path.to_owned());
        self.router = self.router.route(path, methods);
        self
    }

    /// These and those.
    #[must_use]
    pub fn merge(mut self, other: Routes) -> Routes {
        self.paths.extend(other.paths);
        self.router = self.router.merge(other.router);
        self
    }
}
