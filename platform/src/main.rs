//! The binary `alpes`.

fn main() -> std::process::ExitCode {
    platform::main()
}
