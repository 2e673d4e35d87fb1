//! How the demo looks.

use std::io;

use super::{script::Scene, story::Story};
use crate::console::output::{self, Colour};

const COLUMNS: usize = 100;

/// A plain line.
pub(super) fn say(text: &str) -> io::Result<()> {
    output::print(&format!("{text}\n"))
}

/// The beginning of a part.
pub(super) fn head(text: &str) -> io::Result<()> {
    output::print(&format!("\n{}\n\n", output::paint(Colour::Bold, text)))
}

/// What just happened.
pub(super) fn scene(scene: &Scene) -> io::Result<()> {
    let seconds = scene.at_ms / 1_000;
    let rest = scene.at_ms % 1_000 / 10;
    let time = output::paint(Colour::Dim, &format!("{seconds:>2}.{rest:02} s"));
    let agent = output::paint(colour(scene.agent), &format!("{:<17}", scene.agent));
    let line = output::shortened(&scene.line, COLUMNS - 28);
    say(&format!("{time}  {agent}  {}", output::paint_mark(&line)))
}

/// Each agent has one.
fn colour(agent: &str) -> Colour {
    match agent {
        "renewal-assistant" => Colour::Cyan,
        "contract-reader" => Colour::Magenta,
        "risk-responder" => Colour::Blue,
        _ => Colour::LightBlue,
    }
}

/// The runs whose waterfalls are shown, each with what to see in it.
pub(super) fn pictures(story: &Story) -> [(uuid::Uuid, &'static str); 3] {
    [
        (
            story.renewal,
            "A run with tools, side by side, that completes",
        ),
        (story.contract, "A run that fails in a tool"),
        (
            story.outreach,
            "A run that hands off to a second agent and waits for a person",
        ),
    ]
}
