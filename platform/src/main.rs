//! The binary `alpes`.

/// The batches allocate many small texts and drop them together: 5 % less CPU per saga than with the system's allocator, for 14 MB more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    platform::main()
}
