//! The command line tool. All of it lives in [`strongroom::cli`].

fn main() -> std::process::ExitCode {
    strongroom::cli::main()
}
