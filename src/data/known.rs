//! The public data sets by name: what their files must hold and where they can be had.
//!
//! Plain tables; `locate` uses the sums to tell the sets apart, `fetch` to check what it downloads.

use super::{digits, layout};

/// A public data set: its files and its mirrors.
#[derive(Debug, Clone, Copy)]
pub struct KnownSet {
    /// The name users write: `mnist`.
    pub name: &'static str,
    /// The name of its folder below the root of a torchvision data directory.
    pub torchvision: &'static str,
    /// Base addresses, ending in `/`, to which a file name with `.gz` is appended; tried in order.
    pub mirrors: &'static [&'static str],
    /// Training images, training labels, test images, test labels.
    pub files: [KnownFile; 4],
}

/// A file of a public data set, unpacked.
#[derive(Debug, Clone, Copy)]
pub struct KnownFile {
    /// Its name, without `.gz`.
    pub name: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

/// The public data sets.
pub static SETS: [KnownSet; 2] = [MNIST, FASHION_MNIST];

/// Every name that stands for a data set, the built-in one included.
pub const NAMES: [&str; 3] = [MNIST.name, FASHION_MNIST.name, digits::NAME];

/// Handwritten digits (Y. LeCun, C. Cortes, C. Burges).
pub const MNIST: KnownSet = KnownSet {
    name: "mnist",
    torchvision: "MNIST",
    mirrors: &["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"],
    files: files([
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ]),
};

/// Pictures of clothes (Zalando Research), in the form of MNIST.
pub const FASHION_MNIST: KnownSet = KnownSet {
    name: "fashion-mnist",
    torchvision: "FashionMNIST",
    mirrors: &["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"],
    files: files([
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ]),
};

/// The four files of a set of 60,000 + 10,000 images of 28 x 28, with these sums.
const fn files(sha256: [&'static str; 4]) -> [KnownFile; 4] {
    const BYTES: [u64; 4] = [47_040_016, 60_008, 7_840_016, TEST_LABELS_BYTES];
    let [a, b, c, d] = sha256;
    [
        KnownFile { name: layout::NAMES[0], bytes: BYTES[0], sha256: a },
        KnownFile { name: layout::NAMES[1], bytes: BYTES[1], sha256: b },
        KnownFile { name: layout::NAMES[2], bytes: BYTES[2], sha256: c },
        KnownFile { name: layout::NAMES[3], bytes: BYTES[3], sha256: d },
    ]
}

/// Bytes of the unpacked test labels in every set known here.
pub(super) const TEST_LABELS_BYTES: u64 = 10_008;

/// The public data set of this name.
pub fn set(name: &str) -> Option<&'static KnownSet> {
    SETS.iter().find(|set| set.name == name)
}

/// The name of the data set whose unpacked file of test labels has this SHA-256 (in hexadecimal).
pub fn name_by_test_labels(sha256: &str) -> Option<&'static str> {
    if sha256 == digits::TEST_LABELS_SHA256 {
        return Some(digits::NAME);
    }
    SETS.iter().find(|set| set.files[3].sha256 == sha256).map(|set| set.name)
}
