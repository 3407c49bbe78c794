//! `sgemm_` of the reference BLAS, computed by `ffwd::gemm`.
//!
//! ```text
//! cargo build --release --manifest-path tools/blas/Cargo.toml
//! LD_PRELOAD=tools/blas/target/release/libffwd_blas.so PROGRAM
//! ```
//!
//! A program that calls `sgemm_` through the shared library of any BLAS then gets this one, on the instruction set of
//! `FFWD_ISA` or the best there is, and on as many threads as there are CPUs (`RAYON_NUM_THREADS`). All other routines
//! stay those of its BLAS, the error handler `xerbla_` among them. BLAS stores matrices column by column, so that its
//! C = op(A) op(B) is, row by row, the transpose of op(B)' op(A)'.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};
use std::slice;
use std::sync::OnceLock;

use ffwd::gemm::{self, Matrix, MatrixMut, Workspace};
use ffwd::isa::Isa;

thread_local! {
    /// The memory of packed operands stays for the next product of the thread.
    static WORKSPACE: Cell<Option<Workspace>> = const { Cell::new(None) };
}

/// An operand as BLAS is given it: the array, its leading dimension, and whether it is used transposed.
struct Operand {
    elements: *const f32,
    leading: usize,
    is_transposed: bool,
}

/// The sizes of a product: C is m x n, op(A) m x k and op(B) k x n.
struct Sizes {
    m: usize,
    n: usize,
    k: usize,
}

/// `C = alpha op(A) op(B) + beta C`, where op(X) is X for the letter `N` and its transpose for `T` or `C`; all matrices
/// are stored column by column. An argument that is out of range is reported to `xerbla_` by its number.
///
/// # Safety
///
/// Every pointer is valid, and the arrays are as long as the sizes and leading dimensions say; C overlaps neither A nor
/// B, and no other thread uses it meanwhile: the rules of BLAS. What lies between the columns of a matrix is never
/// touched. But Rust counts it to the array: that A, B or another thread's C lie between the columns of C, as in a
/// factorisation in place, is within the rules of BLAS and outside what Rust promises.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn sgemm_(
    transa: *const c_char,
    transb: *const c_char,
    m: *const c_int,
    n: *const c_int,
    k: *const c_int,
    alpha: *const f32,
    a: *const f32,
    lda: *const c_int,
    b: *const f32,
    ldb: *const c_int,
    beta: *const f32,
    c: *mut f32,
    ldc: *const c_int,
) {
    // SAFETY: the caller's promise; BLAS passes every argument by reference.
    let (transa, transb, m, n, k, lda, ldb, ldc) =
        unsafe { (*transa as u8, *transb as u8, *m, *n, *k, *lda, *ldb, *ldc) };
    // SAFETY: as before.
    let (alpha, beta) = unsafe { (*alpha, *beta) };
    let (is_transposed_a, is_transposed_b) = (is_transposed(transa), is_transposed(transb));
    let rows_a = if is_transposed_a == Some(true) { k } else { m };
    let rows_b = if is_transposed_b == Some(true) { n } else { k };
    let wrong = [
        (is_transposed_a.is_none(), 1),
        (is_transposed_b.is_none(), 2),
        (m < 0, 3),
        (n < 0, 4),
        (k < 0, 5),
        (lda < rows_a.max(1), 8),
        (ldb < rows_b.max(1), 10),
        (ldc < m.max(1), 13),
    ];
    if let Some((_, argument)) = wrong.into_iter().find(|&(is_wrong, _)| is_wrong) {
        return report(argument);
    }
    let sizes = Sizes { m: m as usize, n: n as usize, k: k as usize };
    let a = Operand { elements: a, leading: lda as usize, is_transposed: is_transposed_a == Some(true) };
    let b = Operand { elements: b, leading: ldb as usize, is_transposed: is_transposed_b == Some(true) };
    if sizes.m > 0 && sizes.n > 0 {
        // SAFETY: the caller's promise for C: n columns of m floats, `ldc` apart, and nobody else uses them.
        let c = unsafe { slice::from_raw_parts_mut(c, (sizes.n - 1) * ldc as usize + sizes.m) };
        multiply(sizes, (alpha, beta), (a, b), (c, ldc as usize));
    }
}

/// What an option letter asks for, in upper or lower case; `None` where it is none.
fn is_transposed(letter: u8) -> Option<bool> {
    match letter.to_ascii_uppercase() {
        b'N' => Some(false),
        b'T' | b'C' => Some(true),
        _ => None,
    }
}

/// The product of arguments that are in range.
fn multiply(
    Sizes { m, n, k }: Sizes,
    (alpha, beta): (f32, f32),
    (a, b): (Operand, Operand),
    (c, ldc): (&mut [f32], usize),
) {
    if alpha == 0.0 || k == 0 {
        if beta == 1.0 {
            return;
        }
        // A and B are not looked at, and neither is C where beta is 0.
        for column in c.chunks_mut(ldc) {
            for element in column.iter_mut().take(m) {
                *element = if beta == 0.0 { 0.0 } else { beta * *element };
            }
        }
        return;
    }
    let (left, right) = (b.view((k, n)), a.view((m, k)));
    let c = MatrixMut::strided(c, n, m, ldc);
    // Taken, not borrowed: a thread that waits for a product may begin another one.
    let mut workspace = WORKSPACE.take().unwrap_or_default();
    // Work that comes from outside the pool would wait for a thread with every piece.
    rayon::scope(|_| gemm::sgemm(isa(), alpha, left, right, beta, c, &mut workspace));
    WORKSPACE.set(Some(workspace));
}

impl Operand {
    /// The transpose of op(X), which has `rows` x `columns`, row by row.
    fn view<'a>(&self, (rows, columns): (usize, usize)) -> Matrix<'a> {
        let Self { elements, leading, is_transposed } = *self;
        let (stored_rows, stored_columns) = if is_transposed { (columns, rows) } else { (rows, columns) };
        // SAFETY: the caller of `sgemm_` promises so many columns of so many floats, `leading` apart; both are above
        // zero here.
        let elements = unsafe { slice::from_raw_parts(elements, (stored_columns - 1) * leading + stored_rows) };
        let (row_stride, column_stride) = if is_transposed { (1, leading) } else { (leading, 1) };
        Matrix::strided(elements, columns, rows, row_stride, column_stride)
    }
}

/// The instruction set of the process; without one that `FFWD_ISA` asks for, a program that calls BLAS cannot go on.
fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(|| {
        Isa::from_environment().unwrap_or_else(|error| {
            eprintln!("ffwd-blas: {error}");
            std::process::exit(2);
        })
    })
}

/// Tells the program's `xerbla_` which argument of SGEMM is out of range, or stderr where it has none.
fn report(argument: c_int) {
    type Xerbla = unsafe extern "C" fn(name: *const c_char, argument: *const c_int, length: usize);
    const NAME: &CStr = c"SGEMM ";
    // SAFETY: the name is a C string.
    let handler = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"xerbla_".as_ptr()) };
    if handler.is_null() {
        eprintln!(" ** On entry to SGEMM parameter number {argument} had an illegal value");
        return;
    }
    // SAFETY: every BLAS defines `xerbla_` with these arguments; the last is the length that Fortran passes for a text.
    unsafe { std::mem::transmute::<*mut libc::c_void, Xerbla>(handler)(NAME.as_ptr(), &argument, 6) };
}
