//! What shells and `man` know of the command line: made from its definition, so that neither can fall behind it.

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  openclaw-usage completions bash > ~/.local/share/bash-completion/completions/openclaw-usage
  openclaw-usage completions zsh > ~/.zfunc/_openclaw-usage
  openclaw-usage completions fish > ~/.config/fish/completions/openclaw-usage.fish
  openclaw-usage completions elvish >> ~/.config/elvish/rc.elv
  openclaw-usage completions powershell >> $PROFILE";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  openclaw-usage man | man -l -
  openclaw-usage man --out ~/.local/share/man/man1";

/// Flags of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Flags of `man`.
#[derive(Clone, Debug, Default, Args)]
pub struct ManArgs {
    /// Write this page and one of each command into this directory [default: this page to standard output]
    #[arg(long, value_name = "DIR")]
    pub out: Option<String>,
}

/// Returns what a shell reads to complete our command lines.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut script);
    if shell != Shell::Bash {
        return script;
    }
    // clap_complete 4.6 takes the hyphen of our name for the border of a command in one half of its bash script and not in
    // the other, so that no flag of a command would be completed.
    let wrong = name.replace('-', "__subcmd__");
    String::from_utf8_lossy(&script).replace(&wrong, &name.replace('-', "__")).into_bytes()
}

/// Returns the manual pages with the names of their files: the program's own first, then one of each command, and of what a command
/// is divided into.
///
/// # Errors
/// None that is known of: writing to memory does not fail.
pub fn man_pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let name = program.get_name().to_owned();
    let mut pages = vec![page(&name, program.clone())?];
    for command in program.get_subcommands() {
        let name = format!("{name}-{}", command.get_name());
        pages.push(page(&name, command.clone())?);
        for inner in command.get_subcommands() {
            pages.push(page(&format!("{name}-{}", inner.get_name()), inner.clone())?);
        }
    }
    Ok(pages)
}

fn page(name: &str, command: Command) -> std::io::Result<(String, Vec<u8>)> {
    let mut text = Vec::new();
    // A date would make the same program write two pages.
    clap_mangen::Man::new(command).date("").render(&mut text)?;
    // Readers of pages take ASCII, and other characters by their number.
    let text = String::from_utf8_lossy(&text);
    let escaped =
        text.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) });
    Ok((format!("{name}.1"), escaped.collect::<String>().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_of_every_command_with_every_flag() {
        let pages = man_pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        let program = Cli::command();
        let mut commands = Vec::new();
        for command in program.get_subcommands() {
            let name = format!("openclaw-usage-{}", command.get_name());
            commands.push((format!("{name}.1"), command));
            let inner = command.get_subcommands();
            commands.extend(inner.map(|inner| (format!("{name}-{}.1", inner.get_name()), inner)));
        }
        let expected: Vec<&str> = std::iter::once("openclaw-usage.1")
            .chain(commands.iter().map(|(name, _)| name.as_str()))
            .collect();
        assert_eq!(names, expected);
        for ((_, command), (name, page)) in commands.iter().zip(&pages[1..]) {
            let page = String::from_utf8(page.clone()).unwrap().replace('\\', "");
            for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{flag}")), "{name}: --{flag}");
            }
        }
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = String::from_utf8(completions(shell)).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
            assert!(script.contains("fail-over"), "{shell}");
        }
    }
}
