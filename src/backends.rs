//! The backends there are, and the choice among them: what `--backend` and `--precision` ask for, on this CPU.

use crate::backend::Backend;
use crate::config::{BackendName, PrecisionName};
use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::reference::Reference;
use crate::tier::Tier;

/// The backend that `name` and `precision` ask for, on `tier`.
///
/// A precision that is left open is what [`Tier::prefers_bf16`] says, and f32 on the reference backend.
///
/// # Errors
///
/// [`Error::Config`] when the reference backend is asked for bf16, or a tile unit for f32.
///
/// # Examples
///
/// ```
/// use ffwd::backends;
/// use ffwd::config::{BackendName, PrecisionName};
/// use ffwd::isa::Isa;
/// use ffwd::tier::Tier;
///
/// let backend = backends::choose(BackendName::Auto, PrecisionName::F32, Tier::new(Isa::best()))?;
/// assert_eq!((backend.name(), backend.precision()), ("fused", "f32"));
/// # Ok::<(), ffwd::Error>(())
/// ```
pub fn choose(name: BackendName, precision: PrecisionName, tier: Tier) -> Result<Box<dyn Backend>> {
    let in_bf16 = match precision {
        PrecisionName::Auto if name == BackendName::Reference => tier.asks_for_bf16(),
        PrecisionName::Auto => tier.prefers_bf16(),
        PrecisionName::Bf16 => true,
        PrecisionName::F32 if tier.asks_for_bf16() => {
            let unit = tier.tiles().name();
            let expected = format!("bf16 or auto, because FFWD_ISA asks for {unit}, which has no f32 products");
            return Err(Error::config("--precision", "f32", expected));
        }
        PrecisionName::F32 => false,
    };
    match name {
        BackendName::Reference if in_bf16 => {
            Err(Error::config("--precision", "bf16", "f32 or auto, because the reference backend computes in f32"))
        }
        BackendName::Reference => Ok(Box::new(Reference::new(tier.isa()))),
        BackendName::Auto | BackendName::Fused if in_bf16 => Ok(Box::new(Fused::in_bf16(tier.isa(), tier.tiles()))),
        BackendName::Auto | BackendName::Fused => Ok(Box::new(Fused::new(tier.isa()))),
    }
}
