//! Chooses by which few bytes of a text the vectorised search finds it, and which texts it looks for together.
//!
//! The search puts fragments into groups. It looks at the upper and the lower half of each byte, and asks whether any
//! fragment of a group has that half there. So fragments of a group must be alike, or have rare bytes: else it takes much
//! for one of them that is none, and compares it in vain.

/// The search looks at most at so many bytes at first. A fragment has as many.
pub(super) const COMPARED_BYTES: usize = 4;

/// What stands for texts in the search.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    pub bytes: Vec<u8>,
    /// The texts that have it, and where.
    pub places: Vec<(usize, usize)>,
}

/// Groups in the search, and how many fragments one may have.
#[derive(Clone, Copy)]
pub(super) struct GroupLimits {
    pub groups: usize,
    pub fragments: usize,
}

/// Fragments that are looked for together.
#[derive(Clone, Default)]
struct FragmentGroup {
    fragments: Vec<Fragment>,
    halves: [ByteHalves; COMPARED_BYTES],
}

/// The upper and the lower halves of bytes, one bit each.
#[derive(Clone, Copy, Default)]
struct ByteHalves {
    upper: u16,
    lower: u16,
}

impl ByteHalves {
    fn and(self, byte: u8) -> Self {
        Self {
            upper: self.upper | 1 << (byte >> 4),
            lower: self.lower | 1 << (byte & 15),
        }
    }

    /// How many of a thousand bytes have one of the upper and one of the lower halves.
    fn share(self) -> u64 {
        let halves = |bits: u16| (0..16).filter(move |half| bits >> half & 1 == 1);
        let bytes = halves(self.upper)
            .flat_map(|upper| halves(self.lower).map(move |lower| upper << 4 | lower));
        bytes.map(share).sum()
    }
}

impl FragmentGroup {
    fn has(&self, bytes: &[u8]) -> bool {
        self.fragments.iter().any(|known| known.bytes == bytes)
    }

    fn halves_with(&self, bytes: &[u8]) -> [ByteHalves; COMPARED_BYTES] {
        let mut halves = self.halves;
        for (halves, byte) in halves.iter_mut().zip(bytes) {
            *halves = halves.and(*byte);
        }
        halves
    }

    /// How much more is taken for a fragment of the group if this one is in it.
    fn cost(&self, bytes: &[u8]) -> u64 {
        let taken = |halves: [ByteHalves; COMPARED_BYTES]| -> u64 {
            let halves = halves.iter().take(bytes.len());
            halves.map(|halves| halves.share()).product()
        };
        taken(self.halves_with(bytes)) - taken(self.halves)
    }

    fn add(&mut self, bytes: &[u8], place: (usize, usize)) {
        self.halves = self.halves_with(bytes);
        match self.fragments.iter_mut().find(|known| known.bytes == bytes) {
            Some(known) => known.places.push(place),
            None => self.fragments.push(Fragment {
                bytes: bytes.to_vec(),
                places: vec![place],
            }),
        }
    }
}

/// Fragments of texts, each of `len` bytes. Those of a group are as many places apart as there are groups; to that end
/// some are there twice. There must be no more texts than the groups have places.
pub(super) fn fragments(texts: &[&[u8]], len: usize, limits: GroupLimits) -> Vec<Fragment> {
    let mut order: Vec<(usize, &[u8])> = texts.iter().copied().enumerate().collect();
    let rarest = |text: &[u8]| text.windows(len).map(commonness).min();
    // What is common whatever is done has the first choice.
    order.sort_by_key(|(_, text)| std::cmp::Reverse(rarest(text)));
    let mut groups = vec![FragmentGroup::default(); limits.groups];
    for (number, text) in order {
        let mut best = None;
        for (at, group) in groups.iter().enumerate() {
            for (offset, bytes) in text.windows(len).enumerate() {
                if group.fragments.len() < limits.fragments || group.has(bytes) {
                    let choice = (group.cost(bytes), at, offset);
                    best = Some(best.map_or(choice, |best| choice.min(best)));
                }
            }
        }
        if let Some((_, at, offset)) = best
            && let (Some(group), Some(bytes)) = (groups.get_mut(at), text.get(offset..offset + len))
        {
            group.add(bytes, (number, offset));
        }
    }
    in_turns(&groups)
}

/// One fragment of each group in turn.
fn in_turns(groups: &[FragmentGroup]) -> Vec<Fragment> {
    let used = groups.iter().filter(|group| !group.fragments.is_empty());
    let turns = used.clone().map(|group| group.fragments.len()).max();
    let turns = (0..turns.unwrap_or(0)).flat_map(|turn| {
        let fragment = move |group: &FragmentGroup| {
            let again = || group.fragments.first();
            group.fragments.get(turn).or_else(again).cloned()
        };
        used.clone().filter_map(fragment)
    });
    turns.collect()
}

fn commonness(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| share(*byte)).product()
}

/// How many of a thousand bytes of prose and code are this one, roughly.
fn share(byte: u8) -> u64 {
    match byte {
        b' ' => 130,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b'h' | b'l' => 60,
        b'd' | b'c' | b'u' | b'm' | b'p' | b'f' | b'g' | b'y' | b'b' => 20,
        b'_' | b'-' | b'.' | b'"' | b'/' | b'\'' | b',' | b':' => 12,
        b'a'..=b'z' | b'0'..=b'9' => 6,
        b'A'..=b'Z' => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GroupLimits = GroupLimits {
        groups: 8,
        fragments: 4,
    };

    #[test]
    fn every_text_has_a_fragment_of_its_own_bytes() {
        let texts: Vec<String> = (0..32)
            .map(|number| format!("{number:02}key_{number}"))
            .collect();
        for count in [0, 1, 7, 8, 9, 32] {
            let texts: Vec<&[u8]> = texts
                .iter()
                .take(count)
                .map(|text| text.as_bytes())
                .collect();
            let made = fragments(&texts, 3, LIMITS);
            for (number, text) in texts.iter().enumerate() {
                let is_found = made.iter().any(|fragment| {
                    let mut places = fragment.places.iter();
                    places.any(|(of, at)| *of == number && text[*at..].starts_with(&fragment.bytes))
                });
                assert!(is_found, "{count}: {number}");
            }
            assert!(made.iter().all(|fragment| fragment.bytes.len() == 3));
            assert!(
                made.len() <= LIMITS.groups * LIMITS.fragments,
                "{}",
                made.len()
            );
        }
    }

    #[test]
    fn what_is_rare_is_looked_for() {
        let made = fragments(&[b"hooks.test/"], 4, LIMITS);
        assert_eq!(made[0].bytes, b"oks.");
    }
}
