//! The text format of Prometheus (exposition format 0.0.4).

use std::fmt::{Display, Write as _};

use seedwork::executor::Histogram;

/// The media type of it.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics as they are written.
#[derive(Default)]
pub(super) struct Text(pub String);

impl Text {
    /// The head of a metric: what its values, which follow, say.
    pub fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A value with its labels.
    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        self.labels(labels);
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric that has one value.
    pub fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.value(name, &[], value);
    }

    /// A histogram's values, each multiplied by `unit` (what one step of its bounds is in the unit of its name).
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram, unit: f64) {
        let mut upto = 0;
        let bounds = histogram.bounds.iter().map(|bound| (*bound as f64 * unit).to_string()).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&histogram.counts) {
            upto += count;
            let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.value(&format!("{name}_bucket"), &labels, upto);
        }
        self.value(&format!("{name}_sum"), labels, histogram.sum as f64 * unit);
        self.value(&format!("{name}_count"), labels, upto);
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        for (place, (name, value)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{name}=\"{escaped}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_with_their_labels_and_histograms_add_up() {
        let mut text = Text::default();
        text.one("a_total", "counter", "So many.", 7);
        text.value("b", &[("x", "1"), ("y", "\"\\\n")], 0.5);
        let mut histogram = Histogram::new(&[1000, 2000]);
        [500, 1500, 9000].into_iter().for_each(|value| histogram.observe(value));
        text.histogram("c_seconds", &[("r", "/")], &histogram, 0.000_001);
        let expected = "# HELP a_total So many.\n# TYPE a_total counter\na_total 7\nb{x=\"1\",y=\"\\\"\\\\\\n\"} 0.5\n\
            c_seconds_bucket{r=\"/\",le=\"0.001\"} 1\nc_seconds_bucket{r=\"/\",le=\"0.002\"} 2\nc_seconds_bucket{r=\"/\",le=\"+Inf\"} 3\n\
            c_seconds_sum{r=\"/\"} 0.011\nc_seconds_count{r=\"/\"} 3\n";
        assert_eq!(text.0, expected);
    }
}
