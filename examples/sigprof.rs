// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
//
// A profiler of its own process, as sigprof.c, in Rust: the functions of bid and of libc are declared by hand.
//
// Build: rustc --edition 2021 -O sigprof.rs $(pkg-config --libs-only-L bid) -C link-arg=-Wl,--build-id,-z,now \
//        -o sigprof
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_long, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

// ------------------------------------------------------------------------------------------------------- bid

#[repr(C)]
pub struct BidMaps {
    _private: [u8; 0],
}

/// struct bid_stack_build_id
#[repr(C)]
struct Record {
    status: i32,
    build_id: [u8; 20],
    offset: u64, // with another status than VALID: the address
}

const VALID: i32 = 1; // BID_STACK_VALID

#[link(name = "bid")]
extern "C" {
    fn bid_maps_create(maps: *mut *mut BidMaps, table: *mut c_void) -> c_int;
    fn bid_maps_refresh(maps: *mut BidMaps) -> c_int;
    fn bid_maps_destroy(maps: *mut BidMaps);
    fn bid_resolve(maps: *const BidMaps, ip: u64, record: *mut Record, id: *mut c_void) -> c_int;
    fn bid_status_text(status: c_int) -> *const c_char;
}

struct Maps(*mut BidMaps);

impl Maps {
    fn read() -> Result<Maps, String> {
        let mut maps = Maps(null_mut());
        check(unsafe { bid_maps_create(&mut maps.0, null_mut()) })?;
        check(unsafe { bid_maps_refresh(maps.0) })?; // again after dlopen(); or bid_maps_follow()
        Ok(maps)
    }
}

impl Drop for Maps {
    fn drop(&mut self) {
        unsafe { bid_maps_destroy(self.0) }
    }
}

fn check(status: c_int) -> Result<(), String> {
    if status >= 0 {
        return Ok(());
    }
    let text = unsafe { CStr::from_ptr(bid_status_text(status)) };
    Err(text.to_string_lossy().into_owned())
}

// ------------------------------------------------------------------------------------------------------ libc

#[repr(C)]
struct SigAction {
    handler: extern "C" fn(c_int, *mut c_void, *mut c_void),
    mask: [u64; 16],
    flags: c_int,
    restorer: *const c_void,
}

extern "C" {
    fn sigaction(signal: c_int, new: *const SigAction, old: *mut SigAction) -> c_int;
    fn clock() -> c_long; // microseconds of the process's time on a processor
    fn setitimer(which: c_int, new: *const [c_long; 4], old: *mut [c_long; 4]) -> c_int;
}

const SIGPROF: c_int = 27;
const SA_SIGINFO: c_int = 4;
const SA_RESTART: c_int = 0x1000_0000;
const ITIMER_PROF: c_int = 2;

/// Where ucontext_t has the program counter.
#[cfg(target_arch = "x86_64")]
const PC: usize = 40 + 16 * 8;
#[cfg(target_arch = "aarch64")]
const PC: usize = 176 + 8 + 31 * 8 + 8;

// --------------------------------------------------------------------------------------------------- handler

const SAMPLES: usize = 1000;
static MAPS: AtomicPtr<BidMaps> = AtomicPtr::new(null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);
static SAMPLED: [[AtomicU64; 4]; SAMPLES] = [NOTHING; SAMPLES]; // three words of build ID, and the offset
const NOTHING: [AtomicU64; 4] = [ZERO; 4];
const ZERO: AtomicU64 = AtomicU64::new(0);

/// Allocates nothing and takes no lock, as bid_resolve() does not: so it may interrupt anything.
extern "C" fn on_sample(_signal: c_int, _info: *mut c_void, context: *mut c_void) {
    let next = COUNT.load(Relaxed);
    if next == SAMPLES {
        return;
    }
    let mut record = Record { status: 0, build_id: [0; 20], offset: 0 };
    unsafe {
        let pc = *(context as *const u8).add(PC).cast::<u64>();
        bid_resolve(MAPS.load(Relaxed), pc, &mut record, null_mut());
    }
    let sampled = &SAMPLED[next];
    for (i, &byte) in record.build_id.iter().enumerate() {
        let word = &sampled[i / 8];
        word.store(word.load(Relaxed) | u64::from(byte) << (56 - i % 8 * 8), Relaxed);
    }
    sampled[3].store(if record.status == VALID { record.offset } else { 0 }, Relaxed);
    COUNT.store(next + 1, Relaxed);
}

/// The work that is profiled.
#[no_mangle]
#[inline(never)]
pub extern "C" fn burn(microseconds: c_long) -> u64 {
    let spun = AtomicU64::new(1);
    let end = unsafe { clock() } + microseconds;
    while unsafe { clock() } < end {
        for _ in 0..1_000_000 {
            spun.store(spun.load(Relaxed).wrapping_mul(7).wrapping_add(1), Relaxed);
        }
    }
    spun.load(Relaxed)
}

fn sample_every(microseconds: c_long) {
    let timer = [0, microseconds, 0, microseconds];
    unsafe { setitimer(ITIMER_PROF, &timer, null_mut()) };
}

fn main() -> Result<(), String> {
    let maps = Maps::read()?;
    MAPS.store(maps.0, Relaxed);
    let action = SigAction { handler: on_sample, mask: [0; 16], flags: SA_SIGINFO | SA_RESTART, restorer: null_mut() };
    unsafe { sigaction(SIGPROF, &action, null_mut()) };
    sample_every(1000);
    burn(200_000);
    sample_every(0);
    for sampled in &SAMPLED[..COUNT.swap(SAMPLES, Relaxed)] {
        let digits: String = sampled[..3].iter().map(|word| format!("{:016x}", word.load(Relaxed))).collect();
        println!("{} 0x{:x}", &digits[..40], sampled[3].load(Relaxed));
    }
    Ok(())
}
