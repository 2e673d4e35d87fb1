//! Draws plots as SVG, without a library or script.

use std::fmt::Write as _;

/// Size of a plot and its margins, in pixels. The margins hold axis titles and numbers.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 46.0;
/// Height of the line with the names of a chart in [`svg_file`], and of its title.
const NAMES_HEIGHT: f64 = 34.0;
/// Half of the text height: moves a baseline so that the text is centred on a line.
const TEXT_MIDDLE: f64 = 4.0;
/// Average width of a character at 12 px.
const CHARACTER_WIDTH: f64 = 7.0;
/// Width of the coloured square before a name, with its gaps.
const NAME_SPACING: f64 = 40.0;
/// Lines with fewer points than this also show each point as a circle.
const MAX_CIRCLES: usize = 20;
/// Space above the largest value of a linear axis.
const HEADROOM: f64 = 1.05;
/// Intervals between round numbers on a linear axis, at most.
const LINEAR_INTERVALS: f64 = 5.0;

/// Colours that are distinct for colour-blind people too (Okabe and Ito, 2002).
pub const COLOURS: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
];

/// How an axis maps values to positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisScale {
    /// Linear from 0.
    Linear,
    /// Logarithmic, between powers of ten.
    Log,
}

/// One axis of a plot.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PlotAxis {
    pub title: String,
    pub scale: AxisScale,
    /// Values to mark, with their texts. `None`: round numbers.
    pub marks: Option<Vec<(f64, String)>>,
}

impl PlotAxis {
    /// An axis that marks round numbers.
    #[must_use]
    pub fn new(title: &str, scale: AxisScale) -> Self {
        Self {
            title: title.into(),
            scale,
            marks: None,
        }
    }
}

/// A named line of a plot.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PlotSeries {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A plot of lines with a legend, for an HTML page.
#[must_use]
pub fn lines(x: &PlotAxis, y: &PlotAxis, all: &[PlotSeries]) -> String {
    chart(x, y, all) + &legend(all.iter().map(|series| series.name.as_str()))
}

/// A complete SVG file: charts below one another, each with the names of its lines below it.
#[must_use]
pub fn svg_file(title: &str, charts: &[(String, Vec<String>)]) -> String {
    const CHART_HEIGHT: f64 = HEIGHT + NAMES_HEIGHT;
    const END_MARGIN: f64 = 6.0;
    let height = charts.len() as f64 * CHART_HEIGHT + NAMES_HEIGHT + END_MARGIN;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"><style>text{{font:12px sans-serif;fill:#333}}.grid{{stroke:#ddd}}.name{{font-weight:bold}}</style><rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="24" class="name">{}</text>"##,
        escaped(title)
    );
    for (number, (chart, names)) in charts.iter().enumerate() {
        let top = NAMES_HEIGHT + number as f64 * CHART_HEIGHT;
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
            x += NAME_SPACING + name.len() as f64 * CHARACTER_WIDTH;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// A plot of lines without a legend.
fn chart(x: &PlotAxis, y: &PlotAxis, all: &[PlotSeries]) -> String {
    let points = || all.iter().flat_map(|series| &series.points);
    let across = AxisRange::of(points().map(|p| p.0), x.scale);
    let up = AxisRange::of(points().map(|p| p.1), y.scale);
    let mut svg = svg_start();
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
        if series.points.len() < MAX_CIRCLES {
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

/// A plot of lines and the names of the lines, for [`svg_file`].
#[must_use]
pub fn chart_with_names(x: &PlotAxis, y: &PlotAxis, all: &[PlotSeries]) -> (String, Vec<String>) {
    let names = all.iter().map(|series| series.name.clone());
    (chart(x, y, all), names.collect())
}

/// Stacked horizontal bars with a legend. Each bar has a name and the values of its parts.
#[must_use]
pub fn stacked_bars(parts: &[&str], bars: &[(String, Vec<f64>)], unit: &str) -> String {
    const BAR: f64 = 26.0;
    const GAP: f64 = 10.0;
    const NAME: f64 = 190.0;
    /// Space for the total after the longest bar.
    const TOTAL: f64 = 80.0;
    /// The narrowest part that has space for its number.
    const NUMBER: f64 = 34.0;
    let largest = bars
        .iter()
        .map(|(_, parts)| parts.iter().sum::<f64>())
        .fold(0.0, f64::max);
    let height = bars.len() as f64 * (BAR + GAP) + GAP;
    let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img">"#);
    for (number, (name, values)) in bars.iter().enumerate() {
        let y = number as f64 * (BAR + GAP) + 6.0;
        let middle = y + BAR / 2.0 + TEXT_MIDDLE;
        let _ = write!(
            svg,
            r#"<text x="{:.0}" y="{middle:.0}" text-anchor="end">{}</text>"#,
            NAME - 8.0,
            escaped(name)
        );
        let mut x = NAME;
        for (value, colour) in values.iter().zip(COLOURS) {
            let width = value / largest.max(f64::MIN_POSITIVE) * (WIDTH - NAME - TOTAL);
            let _ = write!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.0}" width="{width:.1}" height="{BAR}" fill="{colour}"/>"#
            );
            if width > NUMBER {
                let at = x + width / 2.0;
                let _ = write!(
                    svg,
                    r##"<text x="{at:.1}" y="{middle:.0}" text-anchor="middle" fill="#fff">{}</text>"##,
                    short_number(*value)
                );
            }
            x += width;
        }
        let total: f64 = values.iter().sum();
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{middle:.0}">{} {unit}</text>"#,
            x + 6.0,
            short_number(total)
        );
    }
    svg.push_str("</svg>");
    svg + &legend(parts.iter().copied())
}

#[derive(Clone, Copy)]
struct AxisRange {
    from: f64,
    to: f64,
    scale: AxisScale,
}

impl AxisRange {
    fn of(values: impl Iterator<Item = f64> + Clone, scale: AxisScale) -> Self {
        let greatest = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        let least = values.filter(|v| *v > 0.0).fold(greatest, f64::min);
        let (from, to) = match scale {
            AxisScale::Linear => (0.0, greatest * HEADROOM),
            AxisScale::Log => (
                10_f64.powf(least.log10().floor()),
                10_f64.powf(greatest.log10().ceil()),
            ),
        };
        let to = if to > from { to } else { from * 10.0 };
        Self { from, to, scale }
    }

    /// The position of a value on the axis, from 0 to 1.
    fn fraction(self, value: f64) -> f64 {
        match self.scale {
            AxisScale::Linear => (value - self.from) / (self.to - self.from),
            AxisScale::Log => {
                let value = value.max(self.from);
                (value / self.from).log10() / (self.to / self.from).log10()
            }
        }
    }

    /// Round numbers to mark.
    fn round_numbers(self) -> Vec<f64> {
        match self.scale {
            AxisScale::Log => {
                let first = self.from.log10().round() as i32;
                let last = self.to.log10().round() as i32;
                (first..=last).map(|power| 10_f64.powi(power)).collect()
            }
            AxisScale::Linear => {
                let rough = self.to / LINEAR_INTERVALS;
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

/// The horizontal position of a value, in pixels.
fn at_x(range: AxisRange, value: f64) -> f64 {
    LEFT + range.fraction(value) * (WIDTH - LEFT - RIGHT)
}

/// The vertical position of a value, in pixels.
fn at_y(range: AxisRange, value: f64) -> f64 {
    HEIGHT - BOTTOM - range.fraction(value) * (HEIGHT - TOP - BOTTOM)
}

fn svg_start() -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">"#)
}

/// Draws the grid with its numbers, and the titles of the axes.
fn grid(svg: &mut String, x: &PlotAxis, y: &PlotAxis, across: AxisRange, up: AxisRange) {
    let marks = |axis: &PlotAxis, range: AxisRange| {
        let round = || {
            range
                .round_numbers()
                .into_iter()
                .map(|v| (v, short_number(v)))
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
            at + TEXT_MIDDLE,
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

/// Formats a number for an axis: `120k`, `2.5`.
fn short_number(value: f64) -> String {
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

/// Escapes text for SVG and HTML.
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
        let texts = [0.0, 0.25, 5.0, 12.5, 250.0, 80_000.0, 1_500_000.0].map(short_number);
        assert_eq!(texts, ["0", "0.25", "5", "12.5", "250", "80k", "1.5M"]);
    }

    #[test]
    fn round_numbers_are_within_the_axis() {
        for scale in [AxisScale::Linear, AxisScale::Log] {
            let range = AxisRange::of([3.0, 87.0, 12.0].into_iter(), scale);
            let marks = range.round_numbers();
            assert!(marks.len() >= 2, "{marks:?}");
            for mark in marks {
                assert!((0.0..=1.0).contains(&range.fraction(mark)), "{mark}");
            }
        }
    }

    #[test]
    fn names_are_escaped() {
        let series = PlotSeries {
            name: "<b>&".into(),
            points: vec![(1.0, 2.0)],
        };
        let axis = PlotAxis::new("a<b", AxisScale::Linear);
        let svg = lines(&axis, &axis, &[series]);
        assert!(svg.contains("&lt;b&gt;&amp;") && svg.contains("a&lt;b"));
    }
}
