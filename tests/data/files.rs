//! Data sets from the outside: every way a file or a directory can be wrong has an error of its own that says where,
//! what was found and what was expected; every way they can be right is read alike.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use ffwd::Error;
use ffwd::data::idx;
use ffwd::data::locate::survey;
use ffwd::data::{Dataset, IdxImages, IdxLabels, Places, Reading, digits, known};
use ffwd::error::{DatasetProblem, Finding, IdxProblem};
use ffwd::pixels::Image;
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// A temporary directory with a place for files and one for the cache.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn images(&self, content: &[u8]) -> ffwd::Result<IdxImages> {
        IdxImages::open_with(&self.file("images", content), &self.cache())
    }

    fn labels(&self, content: &[u8]) -> ffwd::Result<IdxLabels> {
        IdxLabels::open_with(&self.file("labels", content), &self.cache())
    }

    /// A small sound data set: 6 training and 4 test images of 2 x 3 pixels, labels below 5.
    fn set(&self, name: &str) -> PathBuf {
        for (file, content) in NAMES.into_iter().zip(small_set()) {
            self.file(&format!("{name}/{file}"), &content);
        }
        self.path(name)
    }

    fn open(&self, set: &str) -> ffwd::Result<Dataset> {
        Dataset::open_with(&self.path(set), "small", Reading::of(5), &self.cache())
    }

    fn places(&self) -> Places {
        Places {
            data: Some(self.path("env")),
            current: self.path("here"),
            cache: self.cache(),
            system: self.path("system"),
        }
    }
}

fn idx_bytes(dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    dimensions.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

fn small_set() -> [Vec<u8>; 4] {
    let pixels: Vec<u8> = (0..36).collect();
    [
        idx_bytes(&[6, 2, 3], &pixels),
        idx_bytes(&[6], &[0, 1, 2, 3, 4, 0]),
        idx_bytes(&[4, 2, 3], &pixels[..24]),
        idx_bytes(&[4], &[4, 3, 2, 1]),
    ]
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The problem in an IDX error, whose message must name the file and hold these words.
#[track_caller]
fn idx_problem<T: std::fmt::Debug>(result: ffwd::Result<T>, file: &str, words: &[&str]) -> IdxProblem {
    let error = result.unwrap_err();
    says(&error, &[&[file], words].concat());
    match error {
        Error::Idx { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

/// The problem in a data set error, whose message must name the file and hold these words.
#[track_caller]
fn dataset_problem<T: std::fmt::Debug>(result: ffwd::Result<T>, file: &str, words: &[&str]) -> DatasetProblem {
    let error = result.unwrap_err();
    says(&error, &[&[file], words].concat());
    match error {
        Error::Dataset { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn says(error: &Error, words: &[&str]) {
    let message = error.to_string();
    words.iter().for_each(|word| assert!(message.contains(word), "{message:?} does not say {word:?}"));
}

mod idx_files {
    use super::*;

    #[test]
    fn images_and_labels_are_read_as_they_were_written() {
        let desk = Desk::new();
        let pixels: Vec<u8> = (0..24).collect();
        idx::write_images(&desk.path("new/i"), 2, 3, &pixels).unwrap();
        idx::write_labels(&desk.path("new/l"), &[7, 0, 255]).unwrap();
        let images = IdxImages::open(&desk.path("new/i")).unwrap();
        assert_eq!((images.count(), images.rows(), images.cols(), images.pixels_per_image()), (4, 2, 3, 6));
        assert_eq!((&*images.bytes_of(0..4), images.image(2)), (&pixels[..], &pixels[12..18]));
        let labels = IdxLabels::open(&desk.path("new/l")).unwrap();
        assert_eq!((labels.len(), labels.values()), (3, &[7, 0, 255][..]));
    }

    #[test]
    fn images_of_rank_two_are_one_row_each() {
        let images = Desk::new().images(&idx_bytes(&[2, 5], &[9; 10])).unwrap();
        assert_eq!((images.count(), images.rows(), images.cols()), (2, 1, 5));
    }

    #[test]
    fn no_images_and_no_labels_are_sound_files() {
        let desk = Desk::new();
        let images = desk.images(&idx_bytes(&[0, 2, 2], &[])).unwrap();
        assert_eq!((images.count(), &*images.bytes_of(0..0)), (0, &[][..]));
        assert!(desk.labels(&idx_bytes(&[0], &[])).unwrap().is_empty());
    }

    #[test]
    fn a_magic_number_that_is_not_zero() {
        let result = Desk::new().images(b"<!DOCTYPE html> and so on, long enough");
        let problem = idx_problem(result, "images", &["found 3c 21, the start of a web page", "starts with 00 00"]);
        assert_eq!(problem, IdxProblem::Magic { found: *b"<!" });
    }

    #[test]
    fn elements_that_are_not_bytes() {
        let mut content = idx_bytes(&[1, 1, 1], &[0; 4]);
        content[2] = 0x0d;
        let problem = idx_problem(Desk::new().images(&content), "images", &["0x0d", "expected 0x08"]);
        assert_eq!(problem, IdxProblem::ElementType { found: 0x0d });
    }

    #[test]
    fn labels_where_images_should_be_and_the_reverse() {
        let desk = Desk::new();
        let result = desk.images(&idx_bytes(&[2], &[0; 2]));
        let problem = idx_problem(result, "images", &["found 1 dimensions", "expected 3"]);
        assert!(matches!(problem, IdxProblem::Rank { found: 1, .. }));
        let result = desk.labels(&idx_bytes(&[2, 1, 1], &[0; 2]));
        let problem = idx_problem(result, "labels", &["found 3 dimensions", "expected 1"]);
        assert!(matches!(problem, IdxProblem::Rank { found: 3, .. }));
    }

    #[test]
    fn a_header_cut_anywhere() {
        let desk = Desk::new();
        let whole = idx_bytes(&[1, 1, 1], &[0]);
        for length in 0..16 {
            let expected = if length < 4 { 4 } else { 16 };
            let words = [format!("found {length} bytes"), format!("at least {expected}")];
            let problem = idx_problem(desk.images(&whole[..length]), "images", &[&words[0], &words[1]]);
            assert_eq!(problem, IdxProblem::HeaderTruncated { found: length as u64, expected });
        }
    }

    #[test]
    fn a_file_cut_short_and_a_file_too_long() {
        let desk = Desk::new();
        let words = ["found 21 bytes", "expected 22"];
        let problem = idx_problem(desk.images(&idx_bytes(&[1, 2, 3], &[0; 5])), "images", &words);
        assert_eq!(problem, IdxProblem::FileTruncated { found: 21, expected: 22 });
        let words = ["found 11 bytes", "expected 10"];
        let problem = idx_problem(desk.labels(&idx_bytes(&[2], &[0; 3])), "labels", &words);
        assert_eq!(problem, IdxProblem::TrailingBytes { found: 11, expected: 10 });
    }

    #[test]
    fn images_without_pixels() {
        let result = Desk::new().images(&idx_bytes(&[3, 0, 28], &[]));
        let problem = idx_problem(result, "images", &["0 x 28", "at least one pixel"]);
        assert_eq!(problem, IdxProblem::NoPixels { rows: 0, cols: 28 });
    }

    #[test]
    fn sizes_that_lie_are_refused_without_being_believed() {
        let desk = Desk::new();
        let dimensions = [u32::MAX; 3];
        let problem = idx_problem(desk.images(&idx_bytes(&dimensions, &[0])), "images", &["4294967295"]);
        assert_eq!(problem, IdxProblem::TooLarge { dimensions });
        let problem = idx_problem(desk.images(&idx_bytes(&[u32::MAX, 1 << 20, 1], &[0])), "images", &["truncated"]);
        assert!(matches!(problem, IdxProblem::FileTruncated { found: 17, .. }));
        let problem = idx_problem(desk.labels(&idx_bytes(&[u32::MAX], &[0])), "labels", &["4294967303"]);
        assert_eq!(problem, IdxProblem::FileTruncated { found: 9, expected: 8 + u64::from(u32::MAX) });
    }

    #[test]
    fn a_directory_and_a_file_that_is_not_there() {
        let desk = Desk::new();
        let problem = idx_problem(IdxImages::open(desk.0.path()), "", &["regular file"]);
        assert_eq!(problem, IdxProblem::NotAFile);
        let error = IdxLabels::open(&desk.path("nowhere")).unwrap_err();
        says(&error, &["nowhere", "open"]);
        assert!(matches!(error, Error::Io { .. }));
    }

    #[test]
    fn random_headers_never_panic() {
        let desk = Desk::new();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        for round in 0..2000 {
            let mut content: Vec<u8> = (0..random.next_u64() % 40).map(|_| random.next_u64() as u8).collect();
            // Most rounds keep some bytes plausible, to get past the first checks.
            for (byte, value) in content.iter_mut().zip([0, 0, 8, 1 + (round % 3) as u8, 0, 0, 0]).take(round % 8) {
                *byte = value;
            }
            let path = desk.file(if round % 5 == 0 { "random.gz" } else { "random" }, &content);
            let _ = IdxImages::open_with(&path, &desk.cache());
            let _ = IdxLabels::open_with(&path, &desk.cache());
        }
    }

    #[test]
    fn writers_of_one_file_never_show_a_reader_half_of_it() {
        let desk = Desk::new();
        let path = desk.path("shared");
        let labels = vec![3; 50_000];
        idx::write_labels(&path, &labels).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..10).for_each(|_| idx::write_labels(&path, &labels).unwrap()));
            }
            for _ in 0..100 {
                assert_eq!(IdxLabels::open(&path).unwrap().values(), labels);
            }
        });
        assert_eq!(fs::read_dir(desk.0.path()).unwrap().count(), 1, "temporary files were left behind");
    }
}

mod gz_files {
    use super::*;

    fn unpacked(desk: &Desk) -> Vec<PathBuf> {
        let entries = fs::read_dir(desk.cache().join("unpacked")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn an_archive_is_unpacked_once() {
        let desk = Desk::new();
        let path = desk.file("labels.gz", &gz(&idx_bytes(&[3], &[1, 2, 3])));
        let first = IdxLabels::open_with(&path, &desk.cache()).unwrap();
        assert_eq!((first.values(), first.path()), (&[1, 2, 3][..], path.as_path()));
        let [copy] = &unpacked(&desk)[..] else { panic!("not one file in the cache") };
        let made = fs::metadata(copy).unwrap().modified().unwrap();
        IdxLabels::open_with(&path, &desk.cache()).unwrap();
        assert_eq!(unpacked(&desk).len(), 1);
        assert_eq!(fs::metadata(copy).unwrap().modified().unwrap(), made);
    }

    #[test]
    fn a_copy_in_the_cache_that_was_damaged_is_made_again() {
        let desk = Desk::new();
        let path = desk.file("labels.gz", &gz(&idx_bytes(&[3], &[1, 2, 3])));
        IdxLabels::open_with(&path, &desk.cache()).unwrap();
        let copy = unpacked(&desk).remove(0);
        for damaged in [&b""[..], b"no labels"] {
            fs::write(&copy, damaged).unwrap();
            assert_eq!(IdxLabels::open_with(&path, &desk.cache()).unwrap().values(), [1, 2, 3]);
        }
    }

    #[test]
    fn an_archive_that_changes_is_unpacked_again() {
        let desk = Desk::new();
        let path = desk.file("labels.gz", &gz(&idx_bytes(&[3], &[1, 2, 3])));
        IdxLabels::open_with(&path, &desk.cache()).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, gz(&idx_bytes(&[3], &[3, 2, 1]))).unwrap();
        let later = modified + std::time::Duration::from_secs(1);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(IdxLabels::open_with(&path, &desk.cache()).unwrap().values(), [3, 2, 1]);
    }

    #[test]
    fn archives_of_one_name_in_two_directories_are_two_files() {
        let desk = Desk::new();
        for (directory, label) in [("a", 1), ("b", 2)] {
            let path = desk.file(&format!("{directory}/labels.gz"), &gz(&idx_bytes(&[1], &[label])));
            assert_eq!(IdxLabels::open_with(&path, &desk.cache()).unwrap().values(), [label]);
        }
    }

    #[test]
    fn a_damaged_archive_is_named_and_leaves_nothing() {
        let desk = Desk::new();
        let sound = gz(&idx_bytes(&[1000], &[5; 1000]));
        let cut = &sound[..sound.len() - 9];
        let mut flipped = sound.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for content in [cut, &flipped, b"no archive at all", b""] {
            let path = desk.file("labels.gz", content);
            let result = IdxLabels::open_with(&path, &desk.cache());
            idx_problem(result, "labels.gz", &["expected"]);
            assert_eq!(unpacked(&desk).len(), 0);
        }
        let problem = idx_problem(
            IdxLabels::open_with(&desk.file("labels.gz", cut), &desk.cache()),
            "labels.gz",
            &["damaged gzip stream"],
        );
        assert!(matches!(problem, IdxProblem::Gzip { .. }));
    }

    #[test]
    fn what_is_in_a_file_counts_and_not_its_name() {
        let desk = Desk::new();
        let plain = idx_bytes(&[3], &[1, 2, 3]);
        for (name, content) in [("labels", gz(&plain)), ("labels.gz", plain)] {
            let labels = IdxLabels::open_with(&desk.file(name, &content), &desk.cache()).unwrap();
            assert_eq!(labels.values(), [1, 2, 3], "{name}");
        }
        let page = desk.file("labels.gz", b"<html>Not found</html>");
        idx_problem(IdxLabels::open_with(&page, &desk.cache()), "labels.gz", &["the start of a web page"]);
    }

    #[test]
    fn zeros_behind_an_archive_are_padding_and_anything_else_is_not() {
        let desk = Desk::new();
        let content = idx_bytes(&[3], &[1, 2, 3]);
        let members = [gz(&content[..9]), gz(&content[9..])].concat();
        for packed in [gz(&content), members] {
            for zeros in [0, 1, 512, 100_000] {
                let padded = [packed.clone(), vec![0; zeros]].concat();
                let labels = IdxLabels::open_with(&desk.file("labels.gz", &padded), &desk.cache()).unwrap();
                assert_eq!(labels.values(), [1, 2, 3], "{zeros} zeros");
            }
            for rest in [b"\0\0\0more".as_slice(), b"more", b"\x1f", b"\0\x1f\x8b"] {
                let padded = [packed.clone(), rest.to_vec()].concat();
                let result = IdxLabels::open_with(&desk.file("labels.gz", &padded), &desk.cache());
                let problem = idx_problem(result, "labels.gz", &["damaged gzip stream"]);
                let IdxProblem::Gzip { reason } = problem else { panic!("{problem:?}") };
                assert!(rest.contains(&0x1f) || reason == "trailing bytes after the gzip stream", "{reason}");
            }
        }
    }

    #[test]
    fn an_archive_is_not_unpacked_beyond_what_its_header_announces() {
        let desk = Desk::new();
        let bomb = gz(&idx_bytes(&[10], &vec![0; 20 << 20]));
        let result = IdxLabels::open_with(&desk.file("labels.gz", &bomb), &desk.cache());
        let problem = idx_problem(result, "labels.gz", &["trailing", "expected 18"]);
        let IdxProblem::TrailingBytes { found, expected: 18 } = problem else { panic!("{problem:?}") };
        assert!(found < 1 << 20, "unpacked {found} bytes");
        let short = gz(&idx_bytes(&[10], &[0; 9]));
        let result = IdxLabels::open_with(&desk.file("labels.gz", &short), &desk.cache());
        assert_eq!(
            idx_problem(result, "labels.gz", &["found 17"]),
            IdxProblem::FileTruncated { found: 17, expected: 18 }
        );
        assert_eq!(unpacked(&desk).len(), 0);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_an_error() {
        let desk = Desk::new();
        let path = desk.file("labels.gz", &gz(&idx_bytes(&[1], &[0])));
        let file = desk.file("occupied", b"");
        let error = IdxLabels::open_with(&path, &file).unwrap_err();
        assert!(matches!(error, Error::Io { .. }));
        says(&error, &["occupied", "create the directory"]);
    }
}

mod datasets {
    use super::*;

    #[test]
    fn a_sound_data_set() {
        let desk = Desk::new();
        desk.set("set");
        let set = desk.open("set").unwrap();
        assert_eq!((set.name.as_str(), set.synthetic, &set.directory), ("small", false, &desk.path("set")));
        assert_eq!((set.train.images.count(), set.test.images.count()), (6, 4));
        assert_eq!((set.train.labels.values(), set.test.labels.values()), (&[0, 1, 2, 3, 4, 0][..], &[4, 3, 2, 1][..]));
        assert_eq!(set.sha256(), hex(&Sha256::digest(small_set().concat())));
    }

    #[test]
    fn every_spelling_and_layout_is_the_same_data_set() {
        let desk = Desk::new();
        desk.set("plain");
        for (name, content) in NAMES.into_iter().zip(small_set()) {
            let dotted = name.replace("-idx", ".idx");
            desk.file(&format!("dotted/{dotted}"), &content);
            desk.file(&format!("gz/{name}.gz"), &gz(&content));
            desk.file(&format!("dotted-gz/{dotted}.gz"), &gz(&content));
            desk.file(&format!("torch/MNIST/raw/{name}"), &content);
            desk.file(&format!("fashion/FashionMNIST/raw/{name}.gz"), &gz(&content));
        }
        let sum = desk.open("plain").unwrap().sha256().to_owned();
        for layout in ["dotted", "gz", "dotted-gz", "torch", "fashion"] {
            assert_eq!(desk.open(layout).unwrap().sha256(), sum, "{layout}");
        }
        assert_eq!(desk.open("torch").unwrap().directory, desk.path("torch/MNIST/raw"));
    }

    #[test]
    fn an_unpacked_file_is_preferred() {
        let desk = Desk::new();
        desk.set("set");
        NAMES.iter().for_each(|name| _ = desk.file(&format!("set/{name}.gz"), b"not read"));
        desk.open("set").unwrap();
        assert!(!desk.cache().exists());
    }

    #[test]
    fn the_name_chooses_among_torchvision_folders() {
        let desk = Desk::new();
        desk.set("root/MNIST/raw");
        desk.set("root/FashionMNIST/raw");
        let root = desk.path("root");
        for (name, folder) in [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")] {
            let set = Dataset::open_with(&root, name, Reading::of(5), &desk.cache()).unwrap();
            assert_eq!(set.directory, root.join(folder));
        }
        let problem = dataset_problem(desk.open("root"), "root", &["FashionMNIST/raw", "expected one"]);
        assert_eq!(problem, DatasetProblem::Ambiguous { found: vec!["MNIST/raw".into(), "FashionMNIST/raw".into()] });
    }

    /// Writes the small set as EMNIST and QMNIST name their files.
    fn publish(desk: &Desk, directory: &str, prefix: &str, ending: &str) {
        let [a, b, c, d] = small_set();
        for (name, content) in [
            ("train-images-idx3-ubyte".to_owned(), a),
            (format!("train-labels-{ending}"), b),
            ("test-images-idx3-ubyte".to_owned(), c),
            (format!("test-labels-{ending}"), d),
        ] {
            desk.file(&format!("{directory}/{prefix}-{name}.gz"), &gz(&content));
        }
    }

    #[test]
    fn published_names_are_known_and_one_of_several_sets_is_named() {
        let desk = Desk::new();
        publish(&desk, "emnist", "emnist-letters", "idx1-ubyte");
        assert_eq!(desk.open("emnist").unwrap().train.labels.len(), 6);
        publish(&desk, "emnist", "emnist-balanced", "idx1-ubyte");
        let problem = dataset_problem(desk.open("emnist"), "emnist", &["emnist-balanced, emnist-letters", "one"]);
        assert!(matches!(problem, DatasetProblem::Ambiguous { .. }));
        let named = desk.path("emnist/emnist-letters");
        let located = desk.places().locate(named.to_str().unwrap()).unwrap();
        assert_eq!((located.name.as_str(), &located.directory), ("emnist-letters", &named));
        assert_eq!(desk.open("emnist/emnist-letters").unwrap().test.images.count(), 4);
    }

    #[test]
    fn what_is_missing_of_a_published_set_is_called_as_it_is_published() {
        let desk = Desk::new();
        publish(&desk, "set", "emnist-letters", "idx1-ubyte");
        fs::remove_file(desk.path("set/emnist-letters-test-labels-idx1-ubyte.gz")).unwrap();
        let missing = "emnist-letters-test-labels-idx1-ubyte";
        let problem = dataset_problem(desk.open("set"), "set", &["found no", missing]);
        assert_eq!(problem, DatasetProblem::MissingFiles { missing: vec![missing.to_owned()] });
        dataset_problem(desk.open("set/emnist-letters"), "set/emnist-letters", &["found no", missing]);
        // A whole set beside it is taken.
        publish(&desk, "set", "emnist-balanced", "idx1-ubyte");
        assert_eq!(desk.open("set").unwrap().train.labels.len(), 6);

        publish(&desk, "other", "qmnist", "idx2-int");
        fs::remove_file(desk.path("other/qmnist-train-images-idx3-ubyte.gz")).unwrap();
        fs::remove_file(desk.path("other/qmnist-test-labels-idx2-int.gz")).unwrap();
        let missing = ["qmnist-train-images-idx3-ubyte", "qmnist-test-labels-idx2-int"];
        let problem = dataset_problem(desk.open("other"), "other", &missing);
        assert_eq!(problem, DatasetProblem::MissingFiles { missing: missing.map(str::to_owned).to_vec() });
        // More is there of MNIST's.
        desk.set("other");
        fs::remove_file(desk.path(&format!("other/{}", NAMES[3]))).unwrap();
        dataset_problem(desk.open("other"), "other", &["found no t10k-labels-idx1-ubyte, expected"]);
    }

    #[test]
    fn labels_of_qmnist_are_the_first_of_each_record() {
        let desk = Desk::new();
        publish(&desk, "set", "qmnist", "idx1-ubyte");
        let records = |labels: &[u32]| {
            let numbers: Vec<u8> =
                labels.iter().flat_map(|&label| [label, 77, 1 << 20]).flat_map(u32::to_be_bytes).collect();
            let mut content = vec![0, 0, 0x0c, 2];
            [labels.len() as u32, 3].iter().for_each(|size| content.extend(size.to_be_bytes()));
            content.extend(numbers);
            content
        };
        let name = |part| format!("set/qmnist-{part}-labels-idx2-int");
        for (part, labels) in [("train", [0, 1, 2, 3, 4, 0].as_slice()), ("test", &[4, 3, 2, 1])] {
            fs::remove_file(desk.path(&format!("set/qmnist-{part}-labels-idx1-ubyte.gz"))).unwrap();
            desk.file(&name(part), &records(labels));
        }
        let set = desk.open("set").unwrap();
        assert_eq!((set.train.labels.values(), set.test.labels.values()), (&[0, 1, 2, 3, 4, 0][..], &[4, 3, 2, 1][..]));
        desk.file(&name("test"), &records(&[4, 3, 256, 1]));
        idx_problem(desk.open("set"), "labels-idx2-int", &["found label 256 at index 2", "below 256"]);
    }

    #[test]
    fn labels_may_start_at_one_and_images_lie_on_their_side() {
        let desk = Desk::new();
        desk.set("set");
        for (file, labels) in [(1, [1, 2, 3, 4, 5, 1].as_slice()), (3, &[5, 4, 3, 2])] {
            desk.file(&format!("set/{}", NAMES[file]), &idx_bytes(&[labels.len() as u32], labels));
        }
        dataset_problem(desk.open("set"), NAMES[1], &["found label 5 at index 4", "from 0 to 4", "--label-base 1"]);
        let open = |label_base| {
            let reading = Reading { classes: 5, label_base, transpose: true };
            Dataset::open_with(&desk.path("set"), "small", reading, &desk.cache())
        };
        let set = open(1).unwrap();
        assert_eq!(set.train.labels.values(), [0, 1, 2, 3, 4, 0]);
        let images = &set.train.images;
        assert_eq!((images.rows(), images.cols(), images.image(1)), (3, 2, &[6, 9, 7, 10, 8, 11][..]));
        dataset_problem(open(2), NAMES[1], &["found label 1 at index 0", "from 2 to 6"]);
    }

    #[test]
    fn missing_files_are_named() {
        let desk = Desk::new();
        let directory = desk.set("set");
        fs::remove_file(directory.join(NAMES[1])).unwrap();
        fs::remove_file(directory.join(NAMES[2])).unwrap();
        let problem = dataset_problem(desk.open("set"), "set", &[NAMES[1], NAMES[2], "expected the four IDX files"]);
        assert_eq!(problem, DatasetProblem::MissingFiles { missing: vec![NAMES[1].to_owned(), NAMES[2].to_owned()] });
        let error = desk.open("nowhere").unwrap_err();
        says(&error, &["nowhere", "open the directory"]);
    }

    /// The small set with its training images in three shards and their labels in two, one of them packed.
    fn in_shards(desk: &Desk) -> PathBuf {
        let directory = desk.set("shards");
        let [images, labels, ..] = small_set();
        NAMES[..2].iter().for_each(|name| fs::remove_file(directory.join(name)).unwrap());
        for (number, range) in [0..1, 1..4, 4..6].into_iter().enumerate() {
            let bytes = idx_bytes(&[range.len() as u32, 2, 3], &images[16 + range.start * 6..16 + range.end * 6]);
            desk.file(&format!("shards/train-images-{number:05}-of-00003-idx3-ubyte"), &bytes);
        }
        for (number, range) in [0..2, 2..6].into_iter().enumerate() {
            let bytes = idx_bytes(&[range.len() as u32], &labels[8 + range.start..8 + range.end]);
            desk.file(&format!("shards/train-labels-{number:05}-of-00002.idx1-ubyte.gz"), &gz(&bytes));
        }
        directory
    }

    #[test]
    fn shards_are_read_as_one_file() {
        let desk = Desk::new();
        desk.set("whole");
        in_shards(&desk);
        let (whole, shards) = (desk.open("whole").unwrap(), desk.open("shards").unwrap());
        assert_eq!(shards.train.labels.values(), whole.train.labels.values());
        let images = &shards.train.images;
        assert_eq!((images.count(), images.files().count()), (6, 3));
        for number in 0..6 {
            assert_eq!(images.image(number), whole.train.images.image(number));
            assert_eq!(images.pixels().image(number, 6), Image::Bytes(whole.train.images.image(number)));
        }
        assert_eq!(images.bytes_of(1..6), whole.train.images.bytes_of(1..6));
        assert_eq!(shards.outline(), whole.outline());
        assert_eq!(images.sum_of(1..5), whole.train.images.sum_of(1..5));
        assert_ne!(images.sum_of(1..5), images.sum_of(0..5));
        let transposed = Reading { transpose: true, ..Reading::of(5) };
        let open = |name: &str| Dataset::open_with(&desk.path(name), name, transposed, &desk.cache()).unwrap();
        assert_eq!(open("shards").train.images.bytes_of(0..6), open("whole").train.images.bytes_of(0..6));
    }

    #[test]
    fn a_shard_that_is_missing_or_of_another_size_is_named() {
        let desk = Desk::new();
        let directory = in_shards(&desk);
        let name = "train-images-00001-of-00003-idx3-ubyte";
        fs::write(directory.join(name), idx_bytes(&[3, 3, 2], &[0; 18])).unwrap();
        dataset_problem(desk.open("shards"), name, &["(3, 2)", "(2, 3)"]);
        fs::remove_file(directory.join(name)).unwrap();
        let problem = dataset_problem(desk.open("shards"), "shards", &["found no", name]);
        assert_eq!(problem, DatasetProblem::MissingFiles { missing: vec![name.to_owned()] });
    }

    /// Opens the small set after one of its files has been replaced.
    fn with(file: usize, content: Vec<u8>) -> ffwd::Result<Dataset> {
        let desk = Desk::new();
        desk.set("set");
        desk.file(&format!("set/{}", NAMES[file]), &content);
        desk.open("set")
    }

    #[test]
    fn counts_that_differ() {
        let words = ["found 3 labels", "expected 4", NAMES[2]];
        let problem = dataset_problem(with(3, idx_bytes(&[3], &[0; 3])), NAMES[3], &words);
        assert!(matches!(problem, DatasetProblem::Counts { labels: 3, images: 4, .. }));
    }

    #[test]
    fn a_label_that_is_no_class() {
        let words = ["found label 5 at index 2", "from 0 to 4"];
        let problem = dataset_problem(with(1, idx_bytes(&[6], &[0, 4, 5, 0, 9, 0])), NAMES[1], &words);
        assert_eq!(problem, DatasetProblem::Label { index: 2, found: 5, classes: 5, base: 0 });
    }

    #[test]
    fn test_images_of_another_size() {
        let words = ["found images of (3, 2)", "expected (2, 3)"];
        let problem = dataset_problem(with(2, idx_bytes(&[4, 3, 2], &[0; 24])), NAMES[2], &words);
        assert_eq!(problem, DatasetProblem::ImageSize { found: (3, 2), expected: (2, 3) });
    }

    #[test]
    fn fewer_pixels_than_classes() {
        let desk = Desk::new();
        let result = Dataset::open_with(&desk.set("set"), "small", Reading::of(7), &desk.cache());
        let problem = dataset_problem(result, NAMES[0], &["found images of 6 pixels", "at least 7"]);
        assert_eq!(problem, DatasetProblem::TooFewPixels { found: 6, classes: 7 });
    }

    #[test]
    fn nothing_to_train_on() {
        let desk = Desk::new();
        desk.set("set");
        desk.file(&format!("set/{}", NAMES[0]), &idx_bytes(&[0, 2, 3], &[]));
        desk.file(&format!("set/{}", NAMES[1]), &idx_bytes(&[0], &[]));
        let problem = dataset_problem(desk.open("set"), NAMES[0], &["no training image", "at least one"]);
        assert_eq!(problem, DatasetProblem::Empty);
    }

    #[test]
    fn a_file_that_is_unsound_is_reported_as_such() {
        let problem = idx_problem(with(2, idx_bytes(&[4, 2, 3], &[0; 20])), NAMES[2], &["truncated"]);
        assert_eq!(problem, IdxProblem::FileTruncated { found: 36, expected: 40 });
    }
}

mod locating {
    use super::*;

    #[test]
    fn places_are_tried_in_order() {
        let desk = Desk::new();
        let places = desk.places();
        // From the last place to the first: each one found is nearer than the one before.
        for (directory, found_in) in [
            ("system/mnist", "/usr/share/datasets"),
            ("cache/mnist", "the user cache"),
            ("here/data/MNIST/raw", "./data"),
            ("here/data/mnist", "./data"),
            ("env/MNIST/raw", "$FFWD_DATA"),
            ("env/mnist", "$FFWD_DATA"),
            ("here/mnist", "the path given"),
        ] {
            let directory = desk.set(directory);
            let located = places.locate("mnist").unwrap();
            assert_eq!((located.found_in, &located.directory), (found_in, &directory));
            let spec = if found_in == "the path given" { directory.to_str().unwrap() } else { "mnist" };
            assert_eq!((located.name.as_str(), located.spec.as_str()), ("mnist", spec));
        }
    }

    #[test]
    fn a_set_in_no_place_is_an_error_that_names_them_all() {
        let desk = Desk::new();
        desk.file(&format!("env/{}", NAMES[0]), b"");
        let error = desk.places().locate("fashion-mnist").unwrap_err();
        says(&error, &["not found in $FFWD_DATA, ./data, the user cache or /usr/share/datasets", "fashion-mnist:"]);
        assert_eq!(error.to_string().lines().count(), 1);
        let Error::NotFound { looked, .. } = error else { panic!("{error:?}") };
        assert_eq!(looked.len(), 8);
        let rows: Vec<String> = looked.iter().map(ToString::to_string).collect();
        let words = [
            "env/FashionMNIST/raw",
            "here/data/fashion-mnist",
            "cache/fashion-mnist",
            "system/fashion-mnist",
            NAMES[3],
        ];
        for word in words {
            assert!(rows.iter().any(|row| row.contains(word)), "{rows:?}");
        }
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let desk = Desk::new();
        let directory = desk.set("here/my/set");
        for spec in [directory.to_str().unwrap(), "my/set", "my/./set"] {
            let located = desk.places().locate(spec).unwrap();
            assert_eq!((located.name.as_str(), located.found_in), ("set", "the path given"), "{spec}");
            assert_eq!(Path::new(&located.spec), directory, "{spec}");
        }
        desk.set("here/bare");
        assert_eq!(desk.places().locate("bare").unwrap().name, "bare");
        desk.set("here/root/MNIST/raw");
        let located = desk.places().locate("root").unwrap();
        assert_eq!((located.name.as_str(), located.directory), ("root", desk.path("here/root/MNIST/raw")));
    }

    #[test]
    fn a_path_without_a_data_set_is_an_error_about_the_path() {
        let desk = Desk::new();
        fs::create_dir_all(desk.path("here/empty")).unwrap();
        dataset_problem(desk.places().locate("empty"), "empty", &["expected the four IDX files"]);
        let error = desk.places().locate("no/where").unwrap_err();
        says(&error, &["no/where", "open the directory"]);
    }

    #[test]
    fn a_directory_that_is_only_called_like_a_set_does_not_hide_it() {
        let desk = Desk::new();
        fs::create_dir_all(desk.path("here/mnist")).unwrap();
        let directory = desk.set("cache/mnist");
        assert_eq!(desk.places().locate("mnist").unwrap().directory, directory);
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        for word in ["minst", ""] {
            let error = Desk::new().places().locate(word).unwrap_err();
            says(&error, &[&format!("{word:?}"), "mnist, fashion-mnist, digits", "directory"]);
            assert!(matches!(error, Error::Config { .. }));
        }
    }

    #[test]
    fn the_survey_has_a_row_for_every_set_in_every_place() {
        let desk = Desk::new();
        let directory = desk.set("here/data/mnist");
        let rows = survey(&desk.places());
        assert!(known::NAMES.iter().all(|name| rows.iter().any(|row| row.name == *name)));
        let held: Vec<_> = rows.iter().filter(|row| row.finding == Finding::Held).collect();
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].name, held[0].found_in, &held[0].directory), ("mnist", "./data", &directory));
        let drawn = rows.iter().filter(|row| row.finding == Finding::NotYetDrawn);
        assert_eq!(drawn.map(|row| row.name).collect::<Vec<_>>(), ["digits"]);
        assert!(!desk.cache().exists(), "a survey draws nothing");
    }
}

mod drawn_digits {
    use super::*;

    #[test]
    fn the_images_are_always_the_same() {
        let (pixels, labels) = digits::draw(0..200);
        let sum = hex(&Sha256::new().chain_update(&pixels).chain_update(&labels).finalize());
        assert_eq!(sum, "acdb410ad6dc188fbb9f9b4f6ed9695990effa5eda0844ebe73b8507d6bd107a");
    }

    #[test]
    fn an_image_does_not_depend_on_its_neighbours_or_on_threads() {
        let (pixels, labels) = digits::draw(0..40);
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let (part, part_labels) = single.install(|| digits::draw(17..31));
        assert_eq!((part, part_labels), (pixels[17 * 784..31 * 784].to_vec(), labels[17..31].to_vec()));
    }

    #[test]
    fn the_margin_is_free_of_ink_and_every_image_has_some() {
        let (pixels, _) = digits::draw(0..2000);
        for image in pixels.chunks_exact(784) {
            let inked = |i: &usize| image[*i] > 0;
            let (rows, cols) = ((0..784).filter(inked).map(|i| i / 28), (0..784).filter(inked).map(|i| i % 28));
            assert!(rows.clone().all(|row| (2..26).contains(&row)) && cols.clone().all(|col| (2..26).contains(&col)));
            assert!(*image.iter().max().unwrap() > 100);
        }
    }

    #[test]
    fn the_classes_are_about_equally_frequent() {
        let (_, labels) = digits::draw(0..5000);
        for digit in 0..10 {
            let count = labels.iter().filter(|&&label| label == digit).count();
            assert!((400..600).contains(&count), "{count} images of {digit}");
        }
    }

    #[test]
    fn the_set_is_drawn_when_first_asked_for_and_known_wherever_it_lies() {
        let desk = Desk::new();
        let places = desk.places();
        let located = places.locate("digits").unwrap();
        assert_eq!((located.name.as_str(), located.spec.as_str()), ("digits", "digits"));
        assert_eq!(located.found_in, "the user cache");
        assert_eq!(located.directory, digits::directory(&desk.cache()));
        let set = Dataset::open_with(&located.directory, &located.name, Reading::of(10), &desk.cache()).unwrap();
        assert!(set.synthetic);
        assert_eq!((set.train.images.count(), set.test.images.count()), (60_000, 10_000));
        assert_eq!(set.sha256(), "12177712c294deba515cbdf58254766ef6fca6d28f383af8ced395214e3a824a");
        assert_eq!(places.locate("digits").unwrap(), located);

        // What is missing is drawn again, and only that.
        let [kept, removed] = [NAMES[0], NAMES[3]].map(|name| located.directory.join(name));
        let made = fs::metadata(&kept).unwrap().modified().unwrap();
        fs::remove_file(&removed).unwrap();
        digits::ensure(&desk.cache()).unwrap();
        assert!(removed.exists() && fs::metadata(&kept).unwrap().modified().unwrap() == made);

        moved_digits(&desk, &places, &located.directory);
    }

    /// One of the places in the error that a set was not found ends with these words.
    #[track_caller]
    fn looked_at(places: &Places, name: &str, words: &str) {
        let Err(Error::NotFound { looked, .. }) = places.locate(name) else { panic!("{name} was found") };
        assert!(looked.iter().any(|row| row.to_string().ends_with(words)), "{looked:?}");
    }

    /// The drawn files in places where they are not expected.
    fn moved_digits(desk: &Desk, places: &Places, drawn: &Path) {
        fs::rename(drawn, desk.path("env")).unwrap();
        let located = places.locate("digits").unwrap();
        assert_eq!((located.directory, located.found_in), (desk.path("env"), "$FFWD_DATA"));
        let located = places.locate(desk.path("env").to_str().unwrap()).unwrap();
        assert_eq!(located.name, "digits");

        // A place that holds one set does not satisfy the name of another.
        looked_at(places, "mnist", "env ($FFWD_DATA): holds digits");
        fs::create_dir_all(desk.path("system")).unwrap();
        fs::rename(desk.path("env"), desk.path("system/fashion-mnist")).unwrap();
        looked_at(places, "fashion-mnist", "fashion-mnist (/usr/share/datasets): holds digits");

        // The sum is that of the unpacked labels.
        let labels = fs::read(desk.path("system/fashion-mnist").join(NAMES[3])).unwrap();
        NAMES[..3].iter().for_each(|name| _ = desk.file(&format!("env/{name}"), b""));
        desk.file(&format!("env/{}.gz", NAMES[3]), &gz(&labels));
        assert_eq!(places.locate("digits").unwrap().found_in, "$FFWD_DATA");
    }
}
