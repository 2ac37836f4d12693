//! The binary `alpes`.

/// The batches allocate many small texts and drop them together.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    platform::main()
}
