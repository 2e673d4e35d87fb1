//! Many events about few ids.

use uuid::Uuid;

use super::{Random, Scenario};

impl Random {
    /// One session and two runs, with one id or two of each kind, of which many events at
    /// few times tell.
    pub fn crowd(&mut self) -> Scenario {
        self.instants = 2;
        let session = self.uuid();
        let runs: Vec<Uuid> = (0..2).map(|_| self.uuid()).collect();
        // Shared by the runs: sightings. Of each run: everything else.
        let sighted = self.uuid();
        let ids: Vec<[Uuid; 7]> = runs
            .iter()
            .map(|_| std::array::from_fn(|_| self.uuid()))
            .collect();
        let told_only = self.uuid();
        let mostly = self.upto(0, 10);
        for _ in 0..self.upto(10, 60) {
            let which = self.upto(0, 1);
            let (run, [step, view, message, count, approval, alias, score]) =
                (runs[which], ids[which]);
            let all = [step, view, alias];
            let either = [step, view][self.upto(0, 1)];
            let kind = if self.chance(0.5) {
                mostly
            } else {
                self.upto(0, 10)
            };
            match kind {
                0 => self.upserts(session),
                1 => self.lives(run, Some(session), &runs),
                2 => self.observations(run, &[session]),
                3 => self.step(run, either, &all),
                4 => self.message(Some(run), Some(session), message),
                5 => self.message(None, Some(session), told_only),
                6 => self.sighting(sighted, Some(run), Some(session), true),
                7 => self.token_count(run, count, &[step, view]),
                8 => self.approval(Some(run), Some(session), approval),
                9 => self.score(run, score, &[step, view]),
                _ => self.alias(run, alias, &all),
            }
        }
        // Of a run that no bridge tells of, aliases are not looked for.
        for run in &runs {
            self.observations(*run, &[session]);
        }
        Scenario {
            events: self.take_events(),
            runs,
            sessions: vec![session],
        }
    }
}
