//! Output of the demo.

use std::io;

use super::{script::Scene, story::Story};
use crate::console::output::{self, Colour};

/// Lines of scenes are cut to this width.
const COLUMNS: usize = 100;
/// Columns of a scene's time and agent.
const PREFIX_COLUMNS: usize = 28;

/// Prints a line.
pub(super) fn say(text: &str) -> io::Result<()> {
    output::print(&format!("{text}\n"))
}

/// Prints the title of a part.
pub(super) fn head(text: &str) -> io::Result<()> {
    output::print(&format!("\n{}\n\n", output::paint(Colour::Bold, text)))
}

/// Prints what just happened.
pub(super) fn scene(scene: &Scene) -> io::Result<()> {
    let seconds = scene.at_ms / 1_000;
    let rest = scene.at_ms % 1_000 / 10;
    let time = output::paint(Colour::Dim, &format!("{seconds:>2}.{rest:02} s"));
    let agent = output::paint(colour(scene.agent), &format!("{:<17}", scene.agent));
    let line = output::shortened(&scene.line, COLUMNS - PREFIX_COLUMNS);
    say(&format!("{time}  {agent}  {}", output::paint_mark(&line)))
}

/// Each agent has its own colour.
fn colour(agent: &str) -> Colour {
    match agent {
        "renewal-assistant" => Colour::Cyan,
        "contract-reader" => Colour::Magenta,
        "risk-responder" => Colour::Blue,
        _ => Colour::LightBlue,
    }
}

/// The runs whose waterfalls are shown, each with a title.
pub(super) fn pictures(story: &Story) -> [(uuid::Uuid, &'static str); 3] {
    [
        (
            story.renewal,
            "A run with parallel tool calls that completes",
        ),
        (story.contract, "A run that fails in a tool"),
        (
            story.outreach,
            "A run that hands off to a second agent and waits for an approval",
        ),
    ]
}
