//! Lines on a small grey canvas: every pixel takes its darkness from its distance to the nearest line.
//!
//! Uses only additions, multiplications, divisions and square roots, which round alike on every platform with IEEE 754
//! arithmetic.

/// Rows and columns of the canvas.
pub(super) const SIDE: usize = 28;
/// Pixels of the canvas.
pub(super) const PIXELS: usize = SIDE * SIDE;

/// A canvas that knows, for each pixel, how far outside the nearest line its centre lies (negative: inside), in pixels.
pub(super) struct Canvas {
    outside: [f32; PIXELS],
}

impl Canvas {
    /// A canvas without a line.
    pub(super) fn new() -> Self {
        Self { outside: [f32::INFINITY; PIXELS] }
    }

    /// Draws a line with round ends; points and radius in pixels, (0, 0) the corner of the first pixel. Pixels further
    /// than `reach` outside the line may be left alone.
    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), radius: f32, reach: f32) {
        let margin = radius + reach + 1.0;
        let (columns, rows) = (span(from.0, to.0, margin), span(from.1, to.1, margin));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length_squared = (dx * dx + dy * dy).max(1e-12);
        for row in rows {
            for column in columns.clone() {
                let (px, py) = (column as f32 + 0.5 - from.0, row as f32 + 0.5 - from.1);
                let along = ((px * dx + py * dy) / length_squared).clamp(0.0, 1.0);
                let (ex, ey) = (px - along * dx, py - along * dy);
                let pixel = &mut self.outside[row * SIDE + column];
                *pixel = pixel.min((ex * ex + ey * ey).sqrt() - radius);
            }
        }
    }

    /// Writes the pixels (28 x 28 bytes): `ink` inside the lines, 0 outside, and a ramp `blur` pixels wide across their
    /// edges.
    pub(super) fn develop(&self, ink: f32, blur: f32, image: &mut [u8]) {
        for (pixel, outside) in image.iter_mut().zip(self.outside) {
            let coverage = (0.5 - outside / blur).clamp(0.0, 1.0);
            *pixel = (coverage * ink + 0.5) as u8;
        }
    }
}

/// The pixels between two coordinates and `margin` beyond, on the canvas.
fn span(a: f32, b: f32, margin: f32) -> std::ops::Range<usize> {
    let limit = |x: f32| x.clamp(0.0, SIDE as f32) as usize;
    limit(a.min(b) - margin)..limit(a.max(b) + margin + 1.0)
}
