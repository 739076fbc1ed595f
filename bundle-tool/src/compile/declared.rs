//! Which declarations a bundle is compiled with.

use super::{CompileError, CompileOptions};
use crate::bundle::Bundle;
use crate::service::{Declarations, ServiceError};

/// The declarations that are given, or those that come with the bento. A file beside a bento may be another one's: it counts where it names the
/// bento's service or none.
///
/// # Errors
/// A file that cannot be read or is malformed; declarations that are given for another service.
pub(crate) fn declarations(bundle: &Bundle, options: &CompileOptions) -> Result<Option<Declarations>, CompileError> {
    let foreign =
        |declarations: &Declarations| declarations.service().filter(|name| *name != bundle.service).map(str::to_owned);
    if let Some(given) = &options.service {
        return match foreign(given) {
            None => Ok(Some(given.clone())),
            Some(service) => Err(CompileError::OtherService { service, found: bundle.service.clone() }),
        };
    }
    let Some((label, text)) = bundle.declarations().map_err(ServiceError::from)? else { return Ok(None) };
    let declarations = Declarations::parse(&label, text)?;
    Ok(foreign(&declarations).is_none().then_some(declarations))
}
