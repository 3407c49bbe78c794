//! The backends there are, and the choice among them: what `--backend` and `--precision` ask for, on this CPU.

use crate::backend::Backend;
use crate::config::{BackendName, PrecisionName};
use crate::fused::Fused;
use crate::isa::Isa;
use crate::reference::Reference;

/// The backend that `name` and `precision` ask for, on `isa`.
///
/// Every backend so far computes in 32-bit floats, so every precision is served by each; one on tile instructions joins
/// this choice as another implementation of [`Backend`].
pub fn choose(name: BackendName, precision: PrecisionName, isa: Isa) -> Box<dyn Backend> {
    match (name, precision) {
        (BackendName::Reference, PrecisionName::Auto | PrecisionName::F32) => Box::new(Reference::new(isa)),
        (BackendName::Auto | BackendName::Fused, PrecisionName::Auto | PrecisionName::F32) => Box::new(Fused::new(isa)),
    }
}
