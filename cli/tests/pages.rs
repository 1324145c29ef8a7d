//! docs/cli.md: every file and every command of it, run as it stands there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail so")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{project, Desk};

/// A block of code of a page.
struct Block<'p> {
    /// The line above it.
    above: &'p str,
    language: &'p str,
    text: String,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut above, mut open): (Vec<Block<'_>>, &str, Option<Block<'_>>) = (Vec::new(), "", None);
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some(Block { above, language, text: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, None) if !line.is_empty() => above = line,
            (None, None) => {}
        }
    }
    blocks
}

/// Returns the commands of a block, each with the output below it.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("output before a command: {line}"),
        }
    }
    commands
}

/// Returns true if `text` is as `expected`, in which `…` stands for anything.
fn is_like(text: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    // Output may go on behind the last of what is shown.
    rest.ends_with(last) || last == &"\n"
}

#[test]
fn every_command_of_the_page_writes_what_the_page_says() {
    let page = fs::read_to_string(project().join("docs/cli.md")).unwrap();
    let desk = Desk::new("page");
    let folder = Path::new(env!("CARGO_BIN_EXE_retrohook")).parent().unwrap().to_str().unwrap();
    let (mut files, mut run) = (0, 0);
    for block in blocks(&page) {
        if block.language != "console" {
            if let Some(name) = block.above.strip_prefix('`').and_then(|line| line.strip_suffix("`:")) {
                desk.write(name, &block.text);
                files += 1;
            }
            continue;
        }
        for (command, expected) in commands(&block.text) {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{{ {command} ; }} 2>&1")]).current_dir(desk.folder()).env_clear();
            let output = shell.env("PATH", format!("{folder}:/usr/bin:/bin")).stdin(Stdio::null()).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(is_like(&text, &expected), "{command}\n--- is\n{text}\n--- and the page says\n{expected}");
            run += 1;
        }
    }
    assert!(files >= 5 && run >= 7, "{files} files, {run} commands");
}

#[test]
fn what_stands_for_anything_stands_for_no_mistake() {
    assert!(is_like("a 1 b\nc\n", "a … b\nc\n") && is_like("a\nb\nc\n", "a\n…\nc\n") && is_like("a, b\nc\n", "a, …\n"));
    assert!(!is_like("a 1 b\n", "a … c\n") && !is_like("b 1\n", "a …\n") && !is_like("a\nb\n", "a\n"));
}

#[test]
fn every_command_is_on_the_page_with_all_that_it_has_there() {
    let page = fs::read_to_string(project().join("docs/cli.md")).unwrap();
    let desk = Desk::new("help");
    let help = desk.run(&["--help"]).out;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> =
        commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(commands.len() >= 4, "{help}");
    for command in commands {
        assert!(page.contains(&format!("## `{command}`")), "{command}");
        assert_eq!(desk.run(&[command, "--help"]).code, 0);
    }
}
