//! A handler of invalid instructions that executes the tile instructions on a [`TileFile`] of the thread.
//!
//! A CPU without AMX raises an exception at each of the eight instructions, and Linux makes a signal of it. Where the
//! CPU has AMX, Linux does the same at those that touch tile data as long as the process has not asked for permission,
//! while `ldtilecfg`, `sttilecfg` and `tilerelease` are executed by the CPU; the configuration is then in the state of
//! the vector registers that the signal brings along.
//!
//! Relies on Linux on x86-64: the layout of what a signal handler is given, and a signal state of the floating-point
//! unit that rounds to the nearest. The handler allocates nothing, takes no lock, and interrupts nothing but tile
//! instructions, so it is alone with the tiles of its thread.

use std::arch::x86_64::__cpuid_count;
use std::cell::UnsafeCell;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use crate::model::{Configuration, TILES, TileFile};

/// One of the eight instructions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instruction {
    LoadConfiguration(Address),
    StoreConfiguration(Address),
    Release,
    Zero { tile: usize },
    Load { tile: usize, from: Address },
    Store { tile: usize, to: Address },
    Multiply { c: usize, a: usize, b: usize },
}

/// An operand in memory: general-purpose registers by their number, RAX to R15.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Address {
    pub base: Option<usize>,
    pub index: Option<usize>,
    /// The power of two that the index is multiplied by.
    pub scale: u8,
    pub displacement: i32,
}

impl Address {
    /// The address itself, which is what instructions take that access one place.
    pub fn place(&self, registers: &[u64; 16]) -> u64 {
        self.start(registers).wrapping_add(self.stride(registers))
    }

    /// Where row 0 of a tile is.
    pub fn start(&self, registers: &[u64; 16]) -> u64 {
        let base = self.base.map_or(0, |base| registers[base]);
        base.wrapping_add_signed(self.displacement.into())
    }

    /// Bytes from a row of a tile to the next.
    pub fn stride(&self, registers: &[u64; 16]) -> u64 {
        self.index.map_or(0, |index| registers[index] << self.scale)
    }
}

/// The number in ModRM that announces a byte with scale, index and base.
const SIB_FOLLOWS: u8 = 4;

/// Reads an instruction byte by byte, and no byte beyond its end.
struct Reader<I> {
    code: I,
    length: usize,
}

impl<I: Iterator<Item = u8>> Reader<I> {
    fn byte(&mut self) -> Option<u8> {
        self.length += 1;
        self.code.next()
    }

    fn four_bytes(&mut self) -> Option<i32> {
        Some(i32::from_le_bytes([self.byte()?, self.byte()?, self.byte()?, self.byte()?]))
    }

    /// The operand in memory that ModRM `mode` and `rm` announce; `x` and `b` are what the prefix adds to the numbers
    /// of index and base. Addresses relative to the instruction pointer are refused.
    fn address(&mut self, mode: u8, rm: u8, [x, b]: [u8; 2]) -> Option<Address> {
        const NO_INDEX: u8 = 4;
        const NO_BASE: u8 = 5;

        let (mut base, mut index, mut scale) = (Some(rm), None, 0);
        if rm == SIB_FOLLOWS {
            let sib = self.byte()?;
            scale = sib >> 6;
            index = Some(sib >> 3 & 7 | x).filter(|&index| index != NO_INDEX);
            base = Some(sib & 7).filter(|&base| base != NO_BASE || mode != 0);
        } else if rm == NO_BASE && mode == 0 {
            return None;
        }
        let displacement = match (mode, base) {
            (0, Some(_)) => 0,
            (1, _) => i32::from(self.byte()? as i8),
            _ => self.four_bytes()?,
        };
        let base = base.map(|base| usize::from(base | b));
        Some(Address { base, index: index.map(usize::from), scale, displacement })
    }
}

/// What the prefix of three bytes says.
struct Prefix {
    /// What it adds to the numbers of the register field, the index and the base.
    r: u8,
    x: u8,
    b: u8,
    /// The number of a third register.
    third: u8,
    /// The prefix that an older encoding would have had: one of those below.
    older: u8,
}

const NONE: u8 = 0;
const OF_66: u8 = 1;
const OF_F3: u8 = 2;
const OF_F2: u8 = 3;

impl<I: Iterator<Item = u8>> Reader<I> {
    /// The prefix of three bytes that all tile instructions have; `None` for any other.
    fn prefix(&mut self) -> Option<Prefix> {
        const VEX: u8 = 0xc4;
        const MAP_0F38: u8 = 2;
        /// Operands of 64 bits, or vectors of 256.
        const W_OR_L: u8 = 0b1000_0100;

        if self.byte()? != VEX {
            return None;
        }
        let first = self.byte()?;
        if first & 0x1f != MAP_0F38 {
            return None;
        }
        let second = self.byte()?;
        // The bits of register numbers are inverted.
        let [r, x, b] = [7, 6, 5].map(|bit| (!first >> bit & 1) << 3);
        let prefix = Prefix { r, x, b, third: !second >> 3 & 15, older: second & 3 };
        (second & W_OR_L == 0).then_some(prefix)
    }
}

/// The tile instruction that `code` begins with, and its length; `None` for any other.
pub fn decode(code: impl IntoIterator<Item = u8>) -> Option<(Instruction, usize)> {
    let mut reader = Reader { code: code.into_iter(), length: 0 };
    let Prefix { r, x, b, third, older } = reader.prefix()?;
    let (opcode, modrm) = (reader.byte()?, reader.byte()?);
    let (mode, reg, rm) = (modrm >> 6, modrm >> 3 & 7 | r, modrm & 7);
    if opcode == 0x5c {
        let is_of_registers = older == OF_F3 && mode == 3;
        return is_of_registers.then(|| multiplication(reg, rm | b, third))?.zip(Some(reader.length));
    }
    if third != 0 {
        return None;
    }
    let mut address = || reader.address(mode, rm, [x, b]);
    let instruction = match (opcode, older, mode) {
        (0x49, NONE, 3) if reg | rm | b == 0 => Instruction::Release,
        (0x49, OF_F2, 3) if rm | b == 0 => Instruction::Zero { tile: tile(reg)? },
        (0x49, NONE, 0..3) if reg == 0 => Instruction::LoadConfiguration(address()?),
        (0x49, OF_66, 0..3) if reg == 0 => Instruction::StoreConfiguration(address()?),
        (0x4b, OF_66 | OF_F2, 0..3) if rm == SIB_FOLLOWS => Instruction::Load { tile: tile(reg)?, from: address()? },
        (0x4b, OF_F3, 0..3) if rm == SIB_FOLLOWS => Instruction::Store { tile: tile(reg)?, to: address()? },
        _ => return None,
    };
    Some((instruction, reader.length))
}

/// The tile register of that number, where there is one.
fn tile(number: u8) -> Option<usize> {
    Some(usize::from(number)).filter(|&tile| tile < TILES)
}

/// `tdpbf16ps`, whose three tiles must differ.
fn multiplication(c: u8, a: u8, b: u8) -> Option<Instruction> {
    let differ = c != a && c != b && a != b;
    if differ { Some(Instruction::Multiply { c: tile(c)?, a: tile(a)?, b: tile(b)? }) } else { None }
}

thread_local! {
    static TILES_OF_THREAD: UnsafeCell<TileFile> = const { UnsafeCell::new(TileFile::new()) };
}

/// How often the handler has executed `tdpbf16ps`.
static PRODUCTS: AtomicUsize = AtomicUsize::new(0);

/// Where in the state of the vector registers the tile configuration is.
static CONFIGURATION_AT: AtomicUsize = AtomicUsize::new(0);

/// The component of that state which is the tile configuration.
const TILE_CONFIGURATION: u32 = 17;

/// Executes tile instructions on the model from here on, on every thread, wherever the CPU or the system refuses them.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        const STATE: u32 = 0xd;
        // The handler must not ask: under a hypervisor, CPUID takes longer than an instruction on the model.
        CONFIGURATION_AT.store(__cpuid_count(STATE, TILE_CONFIGURATION).ebx as usize, Ordering::Relaxed);
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_invalid_instruction;
        set_action(handler as libc::sighandler_t, libc::SA_SIGINFO);
    });
}

/// How many tile products the model has computed in this process.
pub fn products() -> usize {
    PRODUCTS.load(Ordering::Relaxed)
}

fn set_action(action: libc::sighandler_t, flags: c_int) {
    // SAFETY: zeros are a valid `sigaction` (no flags, no signals blocked); the action is the default one or a handler
    // of the signature that the flags promise.
    let status = unsafe {
        let mut wanted: libc::sigaction = std::mem::zeroed();
        (wanted.sa_sigaction, wanted.sa_flags) = (action, flags);
        libc::sigaction(libc::SIGILL, &raw const wanted, std::ptr::null_mut())
    };
    assert_eq!(status, 0, "sigaction");
}

/// Does what the instruction does and steps over it, or lets the process die of it.
extern "C" fn on_invalid_instruction(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes the interrupted thread's context, which is the handler's alone until it returns.
    let context = unsafe { &mut *context.cast::<ucontext_t>() };
    // SAFETY: the CPU has just refused the instruction at the instruction pointer, whose operands are as valid as the
    // interrupted code has made them.
    if unsafe { step(context) }.is_none() {
        set_action(libc::SIG_DFL, 0);
    }
}

/// Executes one instruction of the thread that was interrupted. `None` where it is none for the model, or the manual
/// demands an exception.
///
/// # Safety
///
/// The instruction pointer points to an instruction, and operands in memory may be read or written as it does.
pub unsafe fn step(context: &mut ucontext_t) -> Option<()> {
    let at = context.uc_mcontext.gregs[libc::REG_RIP as usize] as *const u8;
    // SAFETY: there is an instruction, by the caller's promise, and no more bytes are read than it has.
    let code = (0..).map(|offset| unsafe { at.add(offset).read() });
    let (instruction, length) = decode(code)?;
    let registers = general_registers(context);
    let native = native_configuration(context);
    TILES_OF_THREAD.with(|tiles| {
        // SAFETY: the cell is this thread's, and only this function refers to its content; it executes no tile
        // instruction itself, so it does not interrupt itself.
        let tiles = unsafe { &mut *tiles.get() };
        if let Some(configuration) = native {
            tiles.adopt_configuration(&configuration)?;
        }
        // SAFETY: the caller's promise about operands.
        unsafe { execute(instruction, tiles, &registers) }
    })?;
    context.uc_mcontext.gregs[libc::REG_RIP as usize] += length as i64;
    Some(())
}

/// RAX to R15, by the numbers that instructions give them.
fn general_registers(context: &ucontext_t) -> [u64; 16] {
    use libc::{REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    use libc::{REG_RAX, REG_RBP, REG_RBX, REG_RCX, REG_RDI, REG_RDX, REG_RSI, REG_RSP};
    let lower = [REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI];
    let upper = [REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15];
    std::array::from_fn(|number| {
        let register = if number < 8 { lower[number] } else { upper[number - 8] };
        context.uc_mcontext.gregs[register as usize] as u64
    })
}

/// The configuration that the CPU itself holds for the interrupted thread, where it has tiles and the system saves
/// them. The handler's own thread state is that of a new process, so `sttilecfg` would not tell.
fn native_configuration(context: &ucontext_t) -> Option<Configuration> {
    /// Behind the general-purpose registers, a pointer to the state that XSAVE wrote.
    const GENERAL: usize = 23;
    /// The number that Linux marks an extended state with, and where.
    const MARK: u32 = 0x4650_5853;
    const MARK_AT: usize = 464;
    /// Which components there may be in the state, and which there are: those left out are zeros.
    const POSSIBLE_AT: usize = 472;
    const PRESENT_AT: usize = 512;
    const BIT: u64 = 1 << TILE_CONFIGURATION;

    // SAFETY: Linux has this pointer there, null or to at least 512 bytes; what lies behind these is read only where
    // the mark says that there is more, and the configuration where it is among the components.
    unsafe {
        let state = (&raw const context.uc_mcontext).cast::<*const u8>().add(GENERAL).read();
        if state.is_null() || state.add(MARK_AT).cast::<u32>().read_unaligned() != MARK {
            return None;
        }
        let has = |at: usize| state.add(at).cast::<u64>().read_unaligned() & BIT != 0;
        if !has(POSSIBLE_AT) {
            return None;
        }
        let at = state.add(CONFIGURATION_AT.load(Ordering::Relaxed)).cast::<Configuration>();
        Some(if has(PRESENT_AT) { at.read() } else { [0; 64] })
    }
}

/// # Safety
///
/// Operands in memory may be read or written as the instruction does.
unsafe fn execute(instruction: Instruction, tiles: &mut TileFile, registers: &[u64; 16]) -> Option<()> {
    let row_at = |address: Address, row: usize| {
        let offset = address.stride(registers).wrapping_mul(row as u64);
        address.start(registers).wrapping_add(offset) as *mut u8
    };
    match instruction {
        Instruction::LoadConfiguration(from) => {
            // SAFETY: the caller promises that the operand may be read.
            let configuration = unsafe { (from.place(registers) as *const Configuration).read() };
            tiles.load_configuration(&configuration)
        }
        Instruction::StoreConfiguration(to) => {
            // SAFETY: the caller promises that the operand may be written.
            unsafe { (to.place(registers) as *mut Configuration).write(*tiles.configuration()) };
            Some(())
        }
        Instruction::Release => {
            tiles.release();
            Some(())
        }
        Instruction::Zero { tile } => tiles.zero(tile),
        Instruction::Load { tile, from } => tiles.load(tile, |row, to| {
            // SAFETY: the caller promises that the rows of the operand may be read.
            unsafe { row_at(from, row).copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
        }),
        Instruction::Store { tile, to } => tiles.store(tile, |row, from| {
            // SAFETY: the caller promises that the rows of the operand may be written.
            unsafe { row_at(to, row).copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        }),
        Instruction::Multiply { c, a, b } => {
            PRODUCTS.fetch_add(1, Ordering::Relaxed);
            tiles.multiply(c, a, b)
        }
    }
}
