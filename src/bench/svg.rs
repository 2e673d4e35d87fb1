//! Plots as SVG, without any library or script.

use std::fmt::Write as _;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 46.0;

/// Colours that stay apart for the colour-blind (Okabe, Ito 2002).
pub const COLOURS: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
];

/// How values lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// By powers of ten.
    Log,
}

/// One axis.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Axis {
    pub title: String,
    pub scale: Scale,
    /// Marks with their own texts, instead of round numbers.
    pub marks: Option<Vec<(f64, String)>>,
}

impl Axis {
    /// An axis with round numbers.
    #[must_use]
    pub fn new(title: &str, scale: Scale) -> Self {
        Self {
            title: title.into(),
            scale,
            marks: None,
        }
    }
}

/// A named line.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Lines over two axes, with their names, for a page.
#[must_use]
pub fn lines(x: &Axis, y: &Axis, all: &[Series]) -> String {
    chart(x, y, all) + &legend(all.iter().map(|series| series.name.as_str()))
}

/// Charts below one another, as a file of its own. The title of each is below it:
/// that of its only line, or those of all in their colours.
#[must_use]
pub fn file(title: &str, charts: &[(String, Vec<String>)]) -> String {
    const ROW: f64 = HEIGHT + 34.0;
    let height = charts.len() as f64 * ROW + 40.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"><style>text{{font:12px sans-serif;fill:#333}}.grid{{stroke:#ddd}}.name{{font-weight:bold}}</style><rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="24" class="name">{}</text>"##,
        escaped(title)
    );
    for (number, (chart, names)) in charts.iter().enumerate() {
        let top = 34.0 + number as f64 * ROW;
        let placed = format!(r#"<svg y="{top}" height="{HEIGHT}" viewBox"#);
        svg.push_str(&chart.replacen("<svg viewBox", &placed, 1));
        let mut x = LEFT;
        for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
            let y = top + HEIGHT + 14.0;
            let _ = write!(
                svg,
                r#"<rect x="{x}" y="{}" width="12" height="12" fill="{colour}"/><text x="{}" y="{y}">{}</text>"#,
                y - 10.0,
                x + 18.0,
                escaped(name)
            );
            x += 40.0 + name.len() as f64 * 7.0;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Lines over two axes, without their names.
fn chart(x: &Axis, y: &Axis, all: &[Series]) -> String {
    let points = || all.iter().flat_map(|series| &series.points);
    let across = Range::of(points().map(|p| p.0), x.scale);
    let up = Range::of(points().map(|p| p.1), y.scale);
    let mut svg = open();
    grid(&mut svg, x, y, across, up);
    for (series, colour) in all.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = series
            .points
            .iter()
            .map(|&(px, py)| format!("{:.1},{:.1}", at_x(across, px), at_y(up, py)))
            .collect();
        let _ = write!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            path.join(" ")
        );
        if series.points.len() < 20 {
            for &(px, py) in &series.points {
                let (cx, cy) = (at_x(across, px), at_y(up, py));
                let _ = write!(
                    svg,
                    r#"<circle cx="{cx:.1}" cy="{cy:.1}" r="3" fill="{colour}"/>"#
                );
            }
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Lines over two axes, and their names, for [`file`].
#[must_use]
pub fn named(x: &Axis, y: &Axis, all: &[Series]) -> (String, Vec<String>) {
    let names = all.iter().map(|series| series.name.clone());
    (chart(x, y, all), names.collect())
}

/// Stacked horizontal bars: of each its name and its parts.
#[must_use]
pub fn stacked(parts: &[&str], bars: &[(String, Vec<f64>)], unit: &str) -> String {
    const BAR: f64 = 26.0;
    const NAME: f64 = 190.0;
    let most = bars
        .iter()
        .map(|(_, parts)| parts.iter().sum::<f64>())
        .fold(0.0, f64::max);
    let height = bars.len() as f64 * (BAR + 10.0) + 10.0;
    let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img">"#);
    for (number, (name, values)) in bars.iter().enumerate() {
        let y = number as f64 * (BAR + 10.0) + 6.0;
        let middle = y + BAR / 2.0 + 4.0;
        let _ = write!(
            svg,
            r#"<text x="{:.0}" y="{middle:.0}" text-anchor="end">{}</text>"#,
            NAME - 8.0,
            escaped(name)
        );
        let mut x = NAME;
        for (value, colour) in values.iter().zip(COLOURS) {
            let width = value / most.max(f64::MIN_POSITIVE) * (WIDTH - NAME - 80.0);
            let _ = write!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.0}" width="{width:.1}" height="{BAR}" fill="{colour}"/>"#
            );
            if width > 34.0 {
                let at = x + width / 2.0;
                let _ = write!(
                    svg,
                    r##"<text x="{at:.1}" y="{middle:.0}" text-anchor="middle" fill="#fff">{}</text>"##,
                    short(*value)
                );
            }
            x += width;
        }
        let total: f64 = values.iter().sum();
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{middle:.0}">{} {unit}</text>"#,
            x + 6.0,
            short(total)
        );
    }
    svg.push_str("</svg>");
    svg + &legend(parts.iter().copied())
}

#[derive(Clone, Copy)]
struct Range {
    from: f64,
    to: f64,
    scale: Scale,
}

impl Range {
    fn of(values: impl Iterator<Item = f64> + Clone, scale: Scale) -> Self {
        let greatest = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        let least = values.filter(|v| *v > 0.0).fold(greatest, f64::min);
        let (from, to) = match scale {
            Scale::Linear => (0.0, greatest * 1.05),
            Scale::Log => (
                10_f64.powf(least.log10().floor()),
                10_f64.powf(greatest.log10().ceil()),
            ),
        };
        let to = if to > from { to } else { from * 10.0 };
        Self { from, to, scale }
    }

    /// Between 0 and 1.
    fn share(self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => {
                let value = value.max(self.from);
                (value / self.from).log10() / (self.to / self.from).log10()
            }
        }
    }

    fn marks(self) -> Vec<f64> {
        match self.scale {
            Scale::Log => {
                let first = self.from.log10().round() as i32;
                let last = self.to.log10().round() as i32;
                (first..=last).map(|power| 10_f64.powi(power)).collect()
            }
            Scale::Linear => {
                let rough = self.to / 5.0;
                let power = 10_f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .map(|factor| factor * power)
                    .into_iter()
                    .find(|step| *step >= rough)
                    .unwrap_or(power * 10.0);
                (0..)
                    .map(|n| f64::from(n) * step)
                    .take_while(|mark| *mark <= self.to)
                    .collect()
            }
        }
    }
}

fn at_x(range: Range, value: f64) -> f64 {
    LEFT + range.share(value) * (WIDTH - LEFT - RIGHT)
}

fn at_y(range: Range, value: f64) -> f64 {
    HEIGHT - BOTTOM - range.share(value) * (HEIGHT - TOP - BOTTOM)
}

fn open() -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">"#)
}

fn grid(svg: &mut String, x: &Axis, y: &Axis, across: Range, up: Range) {
    let marks = |axis: &Axis, range: Range| {
        let round = || {
            range
                .marks()
                .into_iter()
                .map(|v| (v, short(v)))
                .collect::<Vec<_>>()
        };
        axis.marks.clone().unwrap_or_else(round)
    };
    let (bottom, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (value, text) in marks(y, up) {
        let at = at_y(up, value);
        let _ = write!(
            svg,
            r#"<line x1="{LEFT}" y1="{at:.1}" x2="{end}" y2="{at:.1}" class="grid"/><text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 6.0,
            at + 4.0,
            escaped(&text)
        );
    }
    for (value, text) in marks(x, across) {
        let at = at_x(across, value);
        let _ = write!(
            svg,
            r#"<line x1="{at:.1}" y1="{TOP}" x2="{at:.1}" y2="{bottom}" class="grid"/><text x="{at:.1}" y="{:.0}" text-anchor="middle">{}</text>"#,
            bottom + 16.0,
            escaped(&text)
        );
    }
    let middle = LEFT.midpoint(end);
    let _ = write!(
        svg,
        r#"<text x="{middle:.0}" y="{:.0}" text-anchor="middle" class="title">{}</text><text transform="translate(14 {:.0}) rotate(-90)" text-anchor="middle" class="title">{}</text>"#,
        HEIGHT - 8.0,
        escaped(&x.title),
        TOP.midpoint(bottom),
        escaped(&y.title)
    );
}

fn legend<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let entries = names.zip(COLOURS.iter().cycle()).map(|(name, colour)| {
        format!(
            r#"<span><i style="background:{colour}"></i>{}</span>"#,
            escaped(name)
        )
    });
    format!(r#"<p class="legend">{}</p>"#, entries.collect::<String>())
}

/// A number for a mark: `120k`, `2.5`.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    let (value, suffix) = match magnitude {
        1e6.. => (value / 1e6, "M"),
        1e4..1e6 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{suffix}")
}

/// Text within SVG and HTML.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.25, 5.0, 12.5, 250.0, 80_000.0, 1_500_000.0].map(short);
        assert_eq!(texts, ["0", "0.25", "5", "12.5", "250", "80k", "1.5M"]);
    }

    #[test]
    fn marks_lie_within_the_axis() {
        for scale in [Scale::Linear, Scale::Log] {
            let range = Range::of([3.0, 87.0, 12.0].into_iter(), scale);
            let marks = range.marks();
            assert!(marks.len() >= 2, "{marks:?}");
            for mark in marks {
                assert!((0.0..=1.0).contains(&range.share(mark)), "{mark}");
            }
        }
    }

    #[test]
    fn names_cannot_break_the_page() {
        let series = Series {
            name: "<b>&".into(),
            points: vec![(1.0, 2.0)],
        };
        let axis = Axis::new("a<b", Scale::Linear);
        let svg = lines(&axis, &axis, &[series]);
        assert!(svg.contains("&lt;b&gt;&amp;") && svg.contains("a&lt;b"));
    }
}
