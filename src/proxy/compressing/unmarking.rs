//! An answer over HTTP/2 whose header is all of it, and that said no length: the hook that edits headers is not told so, and an empty
//! content is none in any coding. Pingora tells its modules, so this is one, for compressed answers of unknown length alone.

use std::any::Any;

use async_trait::async_trait;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module};

use super::marks;

/// What makes the module of an answer.
pub(super) fn modules() -> HttpModules {
    let mut modules = HttpModules::new();
    modules.add_module(Box::new(Builder));
    modules
}

struct Builder;

impl HttpModuleBuilder for Builder {
    fn init(&self) -> Module {
        Box::new(Unmarking)
    }
}

struct Unmarking;

#[async_trait]
impl HttpModule for Unmarking {
    async fn response_header_filter(&mut self, response: &mut ResponseHeader, is_last: bool) -> Result<()> {
        if is_last {
            marks::take_back(response);
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
