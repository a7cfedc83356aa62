//! The curve of latency over load as a picture: SVG, which browsers, editors and wikis show. Pure.

use onrush_api::{CurvePointView, CurveQuantileView};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use crate::error::Error;
use crate::report::numbers::rate;
use crate::result::OutputFile;

const SIZE: (u32, u32) = (900, 560);
const FONT: &str = "sans-serif";
/// Of the quantiles, from the lowest: those of Okabe and Ito, which colour-blind people tell apart, without the palest.
const COLORS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(0, 158, 115), RGBColor(230, 159, 0), RGBColor(213, 94, 0)];
const GREY: RGBColor = RGBColor(110, 110, 110);

/// What is drawn.
#[derive(Debug, Default)]
pub struct Chart<'a> {
    /// What stands above it.
    pub title: String,
    /// Latency by rate, in any order.
    pub curve: Vec<&'a CurvePointView>,
    /// Limits of a latency: their words, and the milliseconds.
    pub limits: Vec<(String, f64)>,
    /// The SLO is kept up to this rate, per second.
    pub lower_per_s: Option<f64>,
    /// It is broken from this rate on, per second.
    pub upper_per_s: Option<f64>,
}

impl Chart<'_> {
    /// Draws it into the file that was asked for, if one was.
    pub fn write(&self, file: Option<OutputFile>) -> Result<(), Error> {
        let Some(file) = file else { return Ok(()) };
        let svg = self.svg().map_err(|reason| Error::Failed(format!("there is no chart: {reason}")))?;
        file.write(&svg)
    }

    /// The picture.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn svg(&self) -> Result<String, String> {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            self.draw(&area)?;
            area.present().map_err(|error| error.to_string())?;
        }
        Ok(text)
    }

    fn draw(&self, area: &DrawingArea<SVGBackend, Shift>) -> Result<(), String> {
        let words = |error: DrawingAreaErrorKind<_>| error.to_string();
        let shown = self.latencies_ms();
        let ends = shown.iter().copied().reduce(|(low, high), (least, most)| (low.min(least), high.max(most)));
        let Some((least_ms, most_ms)) = ends else { return Err("no rate has a latency that is known".into()) };
        let limits = self.limits.iter().map(|(_, ms)| *ms);
        // Logarithms: a median of 0.2 ms and a p99.9 of two seconds are both to be read.
        let low = (0.7 * limits.clone().fold(least_ms, f64::min)).log10();
        let high = (1.6 * limits.fold(most_ms, f64::max)).log10();
        let rates = self.curve.iter().map(|point| point.rate_per_s).chain(self.lower_per_s).chain(self.upper_per_s);
        let (from, to) = rates.fold((f64::INFINITY, 0.0_f64), |(from, to), rate| (from.min(rate), to.max(rate)));
        let margin = (0.06 * (to - from)).max(0.05 * to);
        let (from, to) = ((from - margin).max(0.0), to + margin);

        area.fill(&WHITE).map_err(words)?;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 17))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(78)
            .build_cartesian_2d(from..to, Logarithms { low, high })
            .map_err(words)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .x_desc("requests per second")
            .y_desc("latency from the due moment")
            .x_label_formatter(&|per_s| rate(*per_s))
            .y_label_formatter(&|power| duration(10_f64.powf(*power)))
            .draw()
            .map_err(words)?;

        if let (Some(lower), Some(upper)) = (self.lower_per_s, self.upper_per_s) {
            chart
                .draw_series([Rectangle::new([(lower, low), (upper, high)], GREY.mix(0.18).filled())])
                .map_err(words)?;
        }
        for (bound, says) in [(self.lower_per_s, "kept up to"), (self.upper_per_s, "broken from")] {
            let Some(per_s) = bound else { continue };
            chart
                .draw_series([PathElement::new([(per_s, low), (per_s, high)], GREY.stroke_width(2))])
                .map_err(words)?
                .label(format!("{says} {}/s", rate(per_s)))
                .legend(move |(x, y)| PathElement::new([(x + 9, y - 6), (x + 9, y + 6)], GREY.stroke_width(2)));
        }
        for (limit, ms) in &self.limits {
            let at = ms.log10();
            let dashes = DashedLineSeries::new([(from, at), (to, at)], 8, 5, BLACK.stroke_width(2));
            chart
                .draw_series(dashes)
                .map_err(words)?
                .label(limit)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(2)));
        }
        for (place, quantile) in self.quantiles().into_iter().enumerate() {
            let color = COLORS[place % COLORS.len()];
            let found = self.of_quantile(quantile);
            let line = found.iter().map(|(per_s, ms)| (*per_s, ms[1].log10()));
            chart
                .draw_series(LineSeries::new(line, color.stroke_width(2)))
                .map_err(words)?
                .label(format!("p{}", (quantile * 1e8).round() / 1e6))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
            let bar = |(per_s, ms): &(f64, [f64; 3])| {
                let [lower, value, upper] = ms.map(f64::log10);
                ErrorBar::new_vertical(*per_s, lower, value, upper, color.stroke_width(1), 7)
            };
            chart.draw_series(found.iter().map(bar)).map_err(words)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font((FONT, 13))
            .draw()
            .map_err(words)
    }

    fn quantiles(&self) -> Vec<f64> {
        let mut quantiles: Vec<f64> = self.curve.iter().flat_map(|p| p.quantiles.iter().map(|q| q.quantile)).collect();
        quantiles.sort_by(f64::total_cmp);
        quantiles.dedup();
        quantiles
    }

    /// By rate: the lower end, the value and the upper end in milliseconds, where the value is known.
    fn of_quantile(&self, quantile: f64) -> Vec<(f64, [f64; 3])> {
        let mut found: Vec<_> = self
            .curve
            .iter()
            .filter_map(|point| {
                let found = point.quantiles.iter().find(|each| each.quantile == quantile)?;
                Some((point.rate_per_s, interval_ms(found)?))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        found
    }

    /// The ends of every interval.
    fn latencies_ms(&self) -> Vec<(f64, f64)> {
        let intervals = self.curve.iter().flat_map(|point| point.quantiles.iter().filter_map(interval_ms));
        intervals.map(|[lower, _, upper]| (lower, upper)).collect()
    }
}

fn interval_ms(found: &CurveQuantileView) -> Option<[f64; 3]> {
    let value = found.value_ms.filter(|ms| *ms > 0.0)?;
    let end = |ms: Option<f64>| ms.filter(|ms| *ms > 0.0).unwrap_or(value);
    Some([end(found.lower_ms), value, end(found.upper_ms)])
}

/// An axis of logarithms to the base of ten, with its ticks at 1, 2 and 5 of each decade.
struct Logarithms {
    low: f64,
    high: f64,
}

impl Ranged for Logarithms {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * (value - self.low) / (self.high - self.low)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        // Over many decades their ones alone.
        let digits: &[f64] = if self.high - self.low > 4.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks = decades.flat_map(|decade| digits.iter().map(move |digit| digit.log10() + f64::from(decade)));
        ticks.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

fn duration(ms: f64) -> String {
    let digits = |value: f64| (value * 1e3).round() / 1e3;
    match ms {
        ms if ms >= 999.5 => format!("{} s", digits(ms / 1e3)),
        ms if ms >= 0.9995 => format!("{} ms", digits(ms)),
        ms => format!("{} µs", digits(ms * 1e3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rate_per_s: f64, latencies_ms: [Option<f64>; 2]) -> CurvePointView {
        let quantile = |(quantile, value_ms): (f64, Option<f64>)| CurveQuantileView {
            quantile,
            value_ms,
            lower_ms: value_ms.map(|ms| 0.9 * ms),
            upper_ms: None,
        };
        CurvePointView {
            rate_per_s,
            due: 100,
            quantiles: [0.5, 0.999].into_iter().zip(latencies_ms).map(quantile).collect(),
        }
    }

    #[test]
    fn everything_that_is_known_is_drawn_and_names_are_no_markup() {
        let points = [point(100.0, [Some(0.2), Some(9.0)]), point(200.0, [Some(0.3), None])];
        let chart = Chart {
            title: "http://web/?a=1&b=<script>".into(),
            curve: points.iter().collect(),
            limits: vec![("p99.9<50ms".into(), 50.0)],
            lower_per_s: Some(150.0),
            upper_per_s: None,
        };
        let svg = chart.svg().expect("a picture");
        for text in ["a=1&amp;b=&lt;script&gt;", "p99.9&lt;50ms", "kept up to 150/s", "p50", "p99.9", "200 µs", "50 ms"]
        {
            assert!(svg.contains(text), "{text} is missing in {svg}");
        }
        assert!(!svg.contains("<script") && !svg.contains("broken from") && !svg.contains("NaN"), "{svg}");
        // Two values of the p50 and one of the p99.9: a circle each.
        assert_eq!(svg.matches("<circle").count(), 3, "{svg}");
    }

    #[test]
    fn where_nothing_is_known_there_is_no_picture() {
        let point = point(100.0, [None, None]);
        let chart = Chart { curve: vec![&point], ..Chart::default() };
        assert!(chart.svg().expect_err("nothing is known").contains("no rate"));
        assert!(Chart::default().svg().is_err());
    }

    #[test]
    fn one_rate_and_any_latency_can_be_drawn() {
        for ms in [1e-6, 1.0, 1e9] {
            let point = point(0.001, [Some(ms), Some(ms)]);
            let svg = Chart { curve: vec![&point], ..Chart::default() }.svg().expect("a picture");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
