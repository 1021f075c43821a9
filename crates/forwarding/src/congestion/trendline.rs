//! Whether the path's queue grows: a line through the accumulated delay, and a threshold that
//! adapts to how noisy the path is.

use std::collections::VecDeque;

const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
const MAX_DELTAS: u32 = 60;
const FIRST_THRESHOLD: f64 = 12.5;
const THRESHOLD: (f64, f64) = (6.0, 600.0);
const UP: f64 = 0.0087;
const DOWN: f64 = 0.039;
/// What exceeds the threshold by more is an outlier, from which it does not learn.
const OUTLIER: f64 = 15.0;
/// Overuse has to last this long, in milliseconds of sending.
const OVERUSE_TIME: f64 = 10.0;

/// What the path's queue does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Usage {
    /// It stays.
    #[default]
    Normal,
    /// It grows.
    Over,
    /// It empties.
    Under,
}

#[derive(Debug)]
pub(crate) struct Trendline {
    /// Arrival and smoothed delay, in milliseconds.
    points: VecDeque<(f64, f64)>,
    first_arrival: Option<f64>,
    accumulated: f64,
    smoothed: f64,
    deltas: u32,
    trend: f64,
    threshold: f64,
    last_update: Option<f64>,
    over_for: Option<f64>,
    over_count: u32,
    usage: Usage,
}

impl Default for Trendline {
    fn default() -> Self {
        Self {
            points: VecDeque::new(),
            first_arrival: None,
            accumulated: 0.0,
            smoothed: 0.0,
            deltas: 0,
            trend: 0.0,
            threshold: FIRST_THRESHOLD,
            last_update: None,
            over_for: None,
            over_count: 0,
            usage: Usage::Normal,
        }
    }
}

impl Trendline {
    /// Two groups were `sent` apart and came `arrived` apart, the later one at `arrival`; all in
    /// milliseconds.
    pub(crate) fn update(&mut self, sent: f64, arrived: f64, arrival: f64) {
        self.deltas = self.deltas.saturating_add(1);
        let first = *self.first_arrival.get_or_insert(arrival);
        self.accumulated += arrived - sent;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        if self.points.len() == WINDOW {
            self.points.pop_front();
        }
        self.points.push_back((arrival - first, self.smoothed));
        let before = self.trend;
        if self.points.len() == WINDOW
            && let Some(slope) = slope(&self.points)
        {
            self.trend = slope;
        }
        self.detect(before, sent, arrival);
    }

    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    fn detect(&mut self, before: f64, sent: f64, arrival: f64) {
        if self.deltas < 2 {
            return;
        }
        let signal = f64::from(self.deltas.min(MAX_DELTAS)) * self.trend * GAIN;
        if signal > self.threshold {
            let over_for = self.over_for.map_or(sent / 2.0, |t| t + sent);
            self.over_for = Some(over_for);
            self.over_count += 1;
            if over_for > OVERUSE_TIME && self.over_count > 1 && self.trend >= before {
                self.over_for = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for = None;
            self.over_count = 0;
            self.usage = if signal < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.adapt(signal.abs(), arrival);
    }

    fn adapt(&mut self, signal: f64, arrival: f64) {
        let since = arrival - self.last_update.unwrap_or(arrival);
        self.last_update = Some(arrival);
        if signal > self.threshold + OUTLIER {
            return;
        }
        let speed = if signal < self.threshold { DOWN } else { UP };
        let step = speed * (signal - self.threshold) * since.clamp(0.0, 100.0);
        self.threshold = (self.threshold + step).clamp(THRESHOLD.0, THRESHOLD.1);
    }
}

/// Of the line of least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
        let x = x - mean_x;
        (over + x * (y - mean_y), under + x * x)
    });
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups every 10 ms, each `slower` ms more on its way than the last.
    fn run(line: &mut Trendline, from: u32, count: u32, slower: f64) -> Vec<Usage> {
        (from..from + count)
            .map(|i| {
                line.update(10.0, 10.0 + slower, f64::from(i) * (10.0 + slower));
                line.usage()
            })
            .collect()
    }

    #[test]
    fn a_steady_path_is_normal() {
        let mut line = Trendline::default();
        assert!(
            run(&mut line, 0, 200, 0.0)
                .iter()
                .all(|u| *u == Usage::Normal)
        );
        assert!(
            line.threshold < FIRST_THRESHOLD,
            "it learns how quiet it is"
        );
        assert!(line.threshold >= 6.0);
    }

    #[test]
    fn a_growing_queue_is_overuse_within_a_window() {
        let mut line = Trendline::default();
        let seen = run(&mut line, 0, 60, 1.0);
        let first = seen.iter().position(|u| *u == Usage::Over);
        assert!(first.is_some_and(|f| (19..30).contains(&f)), "{first:?}");
    }

    #[test]
    fn an_emptying_queue_is_underuse() {
        let mut line = Trendline::default();
        run(&mut line, 0, 60, 1.0);
        let seen = run(&mut line, 60, 60, -1.0);
        assert!(seen.contains(&Usage::Under));
    }

    #[test]
    fn the_slope_is_that_of_the_line() {
        let points = (0..20).map(|i| (f64::from(i), 3.0 + 0.25 * f64::from(i)));
        let slope = slope(&points.collect()).unwrap();
        assert!((slope - 0.25).abs() < 1e-9);
    }

    #[test]
    fn noise_raises_the_threshold_and_outliers_do_not() {
        let mut line = Trendline::default();
        line.adapt(20.0, 0.0);
        line.adapt(20.0, 100.0);
        let raised = line.threshold;
        assert!(
            (raised - (12.5 + 0.0087 * 7.5 * 100.0)).abs() < 1e-9,
            "{raised}"
        );
        line.adapt(raised + 15.1, 200.0);
        assert!((line.threshold - raised).abs() < f64::EPSILON);
    }
}
