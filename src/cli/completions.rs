//! `dpmq completions`: scripts with which a shell completes commands, options, rights, and the topics
//! of the server, which they ask for.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Failure;
use crate::cli::args::Args;
use crate::cli::terminal::output::Output;

/// Completes the word after a command that takes a topic.
const BASH: &str = r#"
_dpmq_or_topics() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    case $prev in
        send|listen|peek|watch|--topic) ;;
        *) _dpmq "$@"; return ;;
    esac
    if [[ $cur == -* ]]; then
        _dpmq "$@"
        return
    fi
    local IFS=$'\n' topic
    COMPREPLY=()
    for topic in $(dpmq topics --names 2>/dev/null); do
        [[ $topic != "$cur"* ]] || COMPREPLY+=("$(printf %q "$topic")")
    done
}
complete -F _dpmq_or_topics dpmq
"#;

/// Where the script of zsh has a topic, and what completes it.
const ZSH: [&str; 2] = [
    ":topic -- The topic:_default",
    ":topic -- The topic:_dpmq_topics",
];
const ZSH_TOPICS: &str = r#"
_dpmq_topics() {
    compadd -- "${(@f)$(dpmq topics --names 2>/dev/null)}"
}
"#;

const FISH: &str = r#"
complete -c dpmq -n "__fish_dpmq_using_subcommand send listen peek watch" -f -a '(dpmq topics --names 2>/dev/null)'
complete -c dpmq -n "__fish_dpmq_using_subcommand bench" -l topic -x -a '(dpmq topics --names 2>/dev/null)'
"#;

/// Prints the script for `shell`.
pub(super) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "dpmq", &mut script);
    let script = String::from_utf8(script).expect("a script is text");
    let script = match shell {
        Shell::Bash => script + BASH,
        Shell::Fish => script + FISH,
        Shell::Zsh => match script.split_once('\n') {
            // The first line says what it is for.
            Some((first, rest)) => {
                format!("{first}\n{ZSH_TOPICS}{}", rest.replace(ZSH[0], ZSH[1]))
            }
            None => script,
        },
        _ => script,
    };
    Output::open().write(script.as_bytes())
}
