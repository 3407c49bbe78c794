//! One handwritten digit: a style of its class, with the accidents of a hand and a pen.
//!
//! Relies on `glyphs` for the strokes and on `raster` for the ink. All randomness comes from one generator per image
//! (xoshiro256++, whose output is the same everywhere), and all arithmetic is additions, multiplications, divisions and
//! square roots, so an image is the same on every platform with IEEE 754 arithmetic.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::glyphs::{STYLES, Style};
use super::raster::{Canvas, SIDE};

/// Pixels around the image that stay free of ink.
const MARGIN: f32 = 2.0;
/// Straight pieces between two points of a stroke.
const PIECES: usize = 6;

type Point = (f32, f32);

/// The random choices of one image.
pub(super) struct Hand(Xoshiro256PlusPlus);

impl Hand {
    /// The hand that draws the image with this number.
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// One of `0..n`.
    pub(super) fn choose(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Uniform between two bounds.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.0.next_u64() >> 40) as f32 / (1u32 << 24) as f32;
        low + (high - low) * unit
    }

    /// Bell-shaped around 0 with this standard deviation, never beyond 3.5 of them: a sum of four uniform numbers.
    fn bell(&mut self, deviation: f32) -> f32 {
        let bound = deviation * 3f32.sqrt() / 2.0;
        (0..4).map(|_| self.between(-bound, bound)).sum()
    }

    /// Writes `digit` (0 to 9) into an image of 28 x 28 bytes.
    pub(super) fn write(&mut self, digit: usize, image: &mut [u8]) {
        let styles = STYLES[digit];
        let style = styles[self.choose(styles.len())];
        let mut strokes = self.trace(style);
        let posture = Posture::new(self);
        strokes.iter_mut().flatten().for_each(|point| *point = posture.apply(*point));
        let pen = Pen::new(self);
        self.place(&mut strokes, pen.radius + pen.blur / 2.0);
        let mut canvas = Canvas::new();
        for line in strokes.iter().flat_map(|stroke| stroke.windows(2)) {
            canvas.line(line[0], line[1], pen.radius, pen.blur);
        }
        canvas.develop(pen.ink, pen.blur, image);
    }

    /// The curves of a style with every point moved a little; points written alike move alike, so corners stay closed.
    fn trace(&mut self, style: Style) -> Vec<Vec<Point>> {
        let mut moved: Vec<(Point, Point)> = Vec::new();
        let mut curves = Vec::new();
        for &stroke in style {
            let mut points = Vec::new();
            for &point in stroke {
                let known = moved.iter().find(|(original, _)| *original == point).map(|&(_, moved)| moved);
                let to = known.unwrap_or_else(|| (point.0 + self.bell(0.05), point.1 + self.bell(0.05)));
                moved.push((point, to));
                points.push(to);
            }
            curves.push(smooth(&points));
        }
        curves
    }

    /// Scales the curves to the size of a digit and moves them near the middle of the canvas, `reach` (half the width
    /// of a line, in pixels) clear of the margin.
    fn place(&mut self, strokes: &mut [Vec<Point>], reach: f32) {
        let all = || strokes.iter().flatten();
        let low = all().fold((f32::MAX, f32::MAX), |low, point| (low.0.min(point.0), low.1.min(point.1)));
        let high = all().fold((f32::MIN, f32::MIN), |high, point| (high.0.max(point.0), high.1.max(point.1)));
        let (width, height) = (high.0 - low.0, high.1 - low.1);
        let room = SIDE as f32 - 2.0 * (MARGIN + reach);
        let size = self.between(14.0, 20.0).min(room);
        let scale = size / width.max(height);
        let corner = |hand: &mut Self, extent: f32| {
            let spare = SIDE as f32 - extent * scale;
            (spare / 2.0 + hand.bell(1.2)).min(spare - MARGIN - reach).max(MARGIN + reach)
        };
        let (left, top) = (corner(self, width), corner(self, height));
        for point in strokes.iter_mut().flatten() {
            *point = (left + (point.0 - low.0) * scale, top + (point.1 - low.1) * scale);
        }
    }
}

/// How a whole digit leans, turns and bends.
struct Posture {
    width: f32,
    slant: f32,
    turn: Point,
    bend: Point,
}

impl Posture {
    fn new(hand: &mut Hand) -> Self {
        // The tangent of half an angle gives its cosine and sine without trigonometric functions.
        let half = hand.bell(0.07);
        let norm = 1.0 + half * half;
        Self {
            width: hand.between(0.5, 1.0),
            slant: hand.bell(0.2) - 0.1,
            turn: ((1.0 - half * half) / norm, 2.0 * half / norm),
            bend: (hand.bell(0.25), hand.bell(0.25)),
        }
    }

    fn apply(&self, (x, y): Point) -> Point {
        let (x, y) = ((x - 0.5) * self.width, y - 0.5);
        let (x, y) = (x + self.slant * y + self.bend.0 * y * y, y + self.bend.1 * x * x);
        let (cos, sin) = self.turn;
        (cos * x - sin * y, sin * x + cos * y)
    }
}

/// The line the pen leaves: half its width and the width of its soft edge in pixels, its darkness up to 255.
struct Pen {
    radius: f32,
    blur: f32,
    ink: f32,
}

impl Pen {
    fn new(hand: &mut Hand) -> Self {
        Self { radius: hand.between(0.7, 1.7), blur: hand.between(1.0, 2.0), ink: hand.between(200.0, 255.0) }
    }
}

/// A smooth curve through the points (Catmull-Rom), as a list of points close together.
fn smooth(points: &[Point]) -> Vec<Point> {
    let at = |i: isize| points[i.clamp(0, points.len() as isize - 1) as usize];
    let mut curve = vec![points[0]];
    for i in 0..points.len() as isize - 1 {
        let near = [at(i - 1), at(i), at(i + 1), at(i + 2)];
        for piece in 1..=PIECES {
            let t = piece as f32 / PIECES as f32;
            curve.push((spline(near.map(|p| p.0), t), spline(near.map(|p| p.1), t)));
        }
    }
    curve
}

/// The Catmull-Rom polynomial: `b` at `t` = 0, `c` at `t` = 1.
fn spline([a, b, c, d]: [f32; 4], t: f32) -> f32 {
    let (linear, square, cube) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d, 3.0 * (b - c) + d - a);
    b + 0.5 * t * (linear + t * (square + t * cube))
}
