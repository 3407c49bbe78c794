//! The decoder against instructions assembled by hand, and what becomes of instructions that are none of the eight.

use std::arch::asm;
use std::os::unix::process::ExitStatusExt;

use crate::handler::{Address, Instruction, decode, install};
use crate::{is_child_for, start_again};

/// Registers by the numbers that instructions give them; R8 to R15 have their own.
const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RBX: usize = 3;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

fn based(base: usize, displacement: i32) -> Address {
    Address { base: Some(base), index: None, scale: 0, displacement }
}

fn indexed(base: usize, index: usize, scale: u8, displacement: i32) -> Address {
    Address { base: Some(base), index: Some(index), scale, displacement }
}

/// An index without a base.
fn baseless(index: usize, scale: u8, displacement: i32) -> Address {
    Address { base: None, index: Some(index), scale, displacement }
}

#[test]
fn every_form_of_every_instruction_is_decoded() {
    use Instruction::*;
    let table: &[(&[u8], Instruction)] = &[
        // ldtilecfg [rax]
        (&[0xc4, 0xe2, 0x78, 0x49, 0x00], LoadConfiguration(based(RAX, 0))),
        // ldtilecfg [rbx + rcx*2 + 0x10]
        (&[0xc4, 0xe2, 0x78, 0x49, 0x44, 0x4b, 0x10], LoadConfiguration(indexed(RBX, RCX, 1, 0x10))),
        // ldtilecfg [r13]
        (&[0xc4, 0xc2, 0x78, 0x49, 0x45, 0x00], LoadConfiguration(based(13, 0))),
        // ldtilecfg [rcx*4 + 0x1000]
        (&[0xc4, 0xe2, 0x78, 0x49, 0x04, 0x8d, 0x00, 0x10, 0x00, 0x00], LoadConfiguration(baseless(RCX, 2, 0x1000))),
        // ldtilecfg [rdx - 0x12345678]
        (&[0xc4, 0xe2, 0x78, 0x49, 0x82, 0x88, 0xa9, 0xcb, 0xed], LoadConfiguration(based(RDX, -0x1234_5678))),
        // sttilecfg [rsp + 0x40]
        (&[0xc4, 0xe2, 0x79, 0x49, 0x44, 0x24, 0x40], StoreConfiguration(based(RSP, 0x40))),
        // sttilecfg [r12 + r9*8 - 0x12345678]
        (
            &[0xc4, 0x82, 0x79, 0x49, 0x84, 0xcc, 0x88, 0xa9, 0xcb, 0xed],
            StoreConfiguration(indexed(12, 9, 3, -0x1234_5678)),
        ),
        // tilerelease
        (&[0xc4, 0xe2, 0x78, 0x49, 0xc0], Release),
        // tilezero tmm0
        (&[0xc4, 0xe2, 0x7b, 0x49, 0xc0], Zero { tile: 0 }),
        // tilezero tmm7
        (&[0xc4, 0xe2, 0x7b, 0x49, 0xf8], Zero { tile: 7 }),
        // tileloadd tmm0, [rax + rbx*1]
        (&[0xc4, 0xe2, 0x7b, 0x4b, 0x04, 0x18], Load { tile: 0, from: indexed(RAX, RBX, 0, 0) }),
        // tileloadd tmm5, [r8 + r15*2 + 0x7f]
        (&[0xc4, 0x82, 0x7b, 0x4b, 0x6c, 0x78, 0x7f], Load { tile: 5, from: indexed(8, 15, 1, 0x7f) }),
        // tileloaddt1 tmm6, [rdi + rsi*1 - 0x80]
        (&[0xc4, 0xe2, 0x79, 0x4b, 0x74, 0x37, 0x80], Load { tile: 6, from: indexed(RDI, RSI, 0, -0x80) }),
        // tileloaddt1 tmm7, [r13 + r12*8 + 0x1234]
        (
            &[0xc4, 0x82, 0x79, 0x4b, 0xbc, 0xe5, 0x34, 0x12, 0x00, 0x00],
            Load { tile: 7, from: indexed(13, 12, 3, 0x1234) },
        ),
        // tileloadd tmm1, [rsp + rbp*4]
        (&[0xc4, 0xe2, 0x7b, 0x4b, 0x0c, 0xac], Load { tile: 1, from: indexed(RSP, RBP, 2, 0) }),
        // tileloadd tmm2, [rdx], where every row is the first
        (&[0xc4, 0xe2, 0x7b, 0x4b, 0x14, 0x22], Load { tile: 2, from: based(RDX, 0) }),
        // tileloadd tmm3, [rbp + rax*1]
        (&[0xc4, 0xe2, 0x7b, 0x4b, 0x5c, 0x05, 0x00], Load { tile: 3, from: indexed(RBP, RAX, 0, 0) }),
        // tileloadd tmm4, [rbx*1 + 0x40]
        (&[0xc4, 0xe2, 0x7b, 0x4b, 0x24, 0x1d, 0x40, 0x00, 0x00, 0x00], Load { tile: 4, from: baseless(RBX, 0, 0x40) }),
        // tilestored [rcx + rdx*1 + 0x840], tmm3
        (
            &[0xc4, 0xe2, 0x7a, 0x4b, 0x9c, 0x11, 0x40, 0x08, 0x00, 0x00],
            Store { tile: 3, to: indexed(RCX, RDX, 0, 0x840) },
        ),
        // tilestored [r9 + r10*4], tmm4
        (&[0xc4, 0x82, 0x7a, 0x4b, 0x24, 0x91], Store { tile: 4, to: indexed(9, 10, 2, 0) }),
        // tdpbf16ps tmm0, tmm4, tmm6
        (&[0xc4, 0xe2, 0x4a, 0x5c, 0xc4], Multiply { c: 0, a: 4, b: 6 }),
        // tdpbf16ps tmm7, tmm1, tmm2
        (&[0xc4, 0xe2, 0x6a, 0x5c, 0xf9], Multiply { c: 7, a: 1, b: 2 }),
    ];
    for &(code, instruction) in table {
        let followed = code.iter().copied().chain([0x90; 4]);
        assert_eq!(decode(followed), Some((instruction, code.len())), "{code:02x?}");
        let cut = code[..code.len() - 1].iter().copied();
        assert_eq!(decode(cut), None, "{code:02x?} without its last byte");
    }
}

#[test]
fn addresses_are_those_of_the_manual() {
    let registers = std::array::from_fn(|number| 0x1000 << number);
    // An index is added once for the address of one place, and once for each row of a tile.
    let address = indexed(RBX, 12, 3, -0x10);
    assert_eq!(address.start(&registers), 0x8000 - 0x10);
    assert_eq!(address.stride(&registers), 0x1000 << 12 << 3);
    assert_eq!(address.place(&registers), (0x1000 << 12 << 3) + 0x8000 - 0x10);
    assert_eq!(baseless(RCX, 2, 0x40).place(&registers), 0x8000 + 0x40);
    let fixed = based(15, i32::MAX);
    assert_eq!((fixed.stride(&registers), fixed.start(&registers)), (0, 0x0800_0000 + 0x7fff_ffff));
    assert_eq!(based(RAX, -0x2000).start(&registers), 0_u64.wrapping_sub(0x1000), "addresses wrap around");
}

#[test]
fn other_instructions_are_refused() {
    let others: &[&[u8]] = &[
        // ud2, nop, nothing
        &[0x0f, 0x0b],
        &[0x90],
        &[],
        // vaddps ymm0, ymm1, ymm2; vpermd ymm8, ymm1, ymm2
        &[0xc5, 0xf4, 0x58, 0xc2],
        &[0xc4, 0x62, 0x75, 0x36, 0xc2],
        // tdpbssd tmm0, tmm1, tmm2
        &[0xc4, 0xe2, 0x6b, 0x5e, 0xc1],
        // ldtilecfg [rip + 0x10], which the manual allows and no assembly here uses
        &[0xc4, 0xe2, 0x78, 0x49, 0x05, 0x10, 0x00, 0x00, 0x00],
        // ldtilecfg [rax] with another opcode map, with W, with L, with a third operand, with another register field
        &[0xc4, 0xe3, 0x78, 0x49, 0x00],
        &[0xc4, 0xe2, 0xf8, 0x49, 0x00],
        &[0xc4, 0xe2, 0x7c, 0x49, 0x00],
        &[0xc4, 0xe2, 0x70, 0x49, 0x00],
        &[0xc4, 0xe2, 0x78, 0x49, 0x08],
        // tileloadd without scale, index and base
        &[0xc4, 0xe2, 0x7b, 0x4b, 0x00],
        // tilezero tmm8, tilezero with a second register
        &[0xc4, 0x62, 0x7b, 0x49, 0xc0],
        &[0xc4, 0xe2, 0x7b, 0x49, 0xc1],
        // tdpbf16ps with the same tile twice, and with tmm8 in each place
        &[0xc4, 0xe2, 0x4a, 0x5c, 0xc6],
        &[0xc4, 0xe2, 0x4a, 0x5c, 0xf4],
        &[0xc4, 0xe2, 0x5a, 0x5c, 0xc4],
        &[0xc4, 0x62, 0x4a, 0x5c, 0xc4],
        &[0xc4, 0xc2, 0x4a, 0x5c, 0xc4],
        &[0xc4, 0xe2, 0x0a, 0x5c, 0xc4],
    ];
    for &code in others {
        assert_eq!(decode(code.iter().copied()), None, "{code:02x?}");
    }
}

#[test]
fn a_process_still_dies_of_other_invalid_instructions() {
    const TEST: &str = "decoding::a_process_still_dies_of_other_invalid_instructions";
    if is_child_for(TEST) {
        install();
        // SAFETY: the instruction does nothing but raise the exception that ends the process.
        unsafe { asm!("ud2") };
    }
    assert_eq!(start_again(TEST).status.signal(), Some(libc::SIGILL));
}
