//! Images of one size in a grid, each with a caption, as SVG; or without captions as PNG.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::png_of;

/// The longer side of an image in the picture, at the least.
const SIDE: usize = 84;
/// Between images.
const GAP: usize = 8;
/// The least height of an image.
const LEAST: usize = 3;
/// The height of a caption.
const CAPTION: usize = 18;

/// An image of red, green and blue bytes.
pub struct Tile {
    pub pixels: Vec<[u8; 3]>,
    /// What is written under it.
    pub caption: String,
}

impl Tile {
    /// An image of `bytes`, black to white.
    pub fn grey(bytes: impl IntoIterator<Item = u8>, caption: String) -> Self {
        Self { pixels: bytes.into_iter().map(|byte| [byte; 3]).collect(), caption }
    }

    /// An image of numbers: zero is white, the magnitude `full` and all beyond it red where it is positive and blue
    /// where it is negative.
    pub fn signed(values: &[f32], full: f32, caption: String) -> Self {
        let colour = |&value: &f32| {
            let fades = |end: f32| (255.0 - (255.0 - end) * (value.abs() / full).min(1.0)) as u8;
            if value >= 0.0 {
                [fades(178.0), fades(24.0), fades(43.0)]
            } else {
                [fades(33.0), fades(102.0), fades(172.0)]
            }
        };
        Self { pixels: values.iter().map(colour).collect(), caption }
    }
}

/// Images of `size`, rows and columns of pixels, in `columns`.
pub struct Grid {
    pub title: String,
    pub tiles: Vec<Tile>,
    pub size: (usize, usize),
    pub columns: usize,
}

impl Grid {
    /// How many times as large a pixel is drawn.
    fn scale(&self) -> usize {
        SIDE.div_ceil(self.size.0.max(self.size.1)).max(1)
    }

    /// The rows and columns of pixels that an image takes.
    fn drawn(&self) -> (usize, usize) {
        (self.size.0 * self.scale(), self.size.1 * self.scale())
    }

    /// Where each image begins, each having a cell of rows and columns of pixels; and the picture's size: each (across,
    /// down).
    fn layout(&self, top: usize, (rows, cols): (usize, usize)) -> (Vec<(usize, usize)>, (usize, usize)) {
        let place = |i: usize| {
            let (row, column) = (i / self.columns, i % self.columns);
            (GAP + column * (cols + GAP), top + GAP + row * (rows + GAP))
        };
        let lines = self.tiles.len().div_ceil(self.columns);
        let size = (GAP + self.columns * (cols + GAP), top + GAP + lines * (rows + GAP));
        ((0..self.tiles.len()).map(place).collect(), size)
    }

    /// The picture as SVG, with its title and captions.
    pub fn svg(&self) -> String {
        const TOP: usize = 28;
        // The widths of letters, roughly: nothing here knows the reader's fonts.
        let letters = |text: &str, size: usize| text.chars().count() * size * 5 / 8;
        let caption = self.tiles.iter().map(|tile| letters(&tile.caption, 12)).max().unwrap_or(0);
        let (rows, cols) = self.drawn();
        // A single row of pixels is still to be seen.
        let (rows, cell) = (rows.max(LEAST), cols.max(caption));
        let (places, (width, height)) = self.layout(TOP, (rows + CAPTION, cell));
        let width = width.max(letters(&self.title, 14) + 2 * GAP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{GAP}\" y=\"20\" font-size=\"14\">{}</text>\n",
            self.title
        );
        for (tile, (x, y)) in self.tiles.iter().zip(places) {
            let png = STANDARD.encode(self.png_of(tile));
            let (middle, below) = (x + cell / 2, y + rows + 13);
            let x = middle - cols / 2;
            let drawn = writeln!(
                svg,
                "<image x=\"{x}\" y=\"{y}\" width=\"{cols}\" height=\"{rows}\" preserveAspectRatio=\"none\" \
                 style=\"image-rendering:pixelated\" \
                 href=\"data:image/png;base64,{png}\"/>\n\
                 <text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
                tile.caption
            );
            drawn.expect("a string takes any text");
        }
        svg + "</svg>\n"
    }

    /// One of the images as PNG, pixel for pixel.
    pub fn png_of(&self, tile: &Tile) -> Vec<u8> {
        png_of(png::ColorType::Rgb, tile.pixels.as_flattened(), self.size)
    }

    /// The images alone as PNG.
    pub fn png(&self) -> Vec<u8> {
        let (places, (width, height)) = self.layout(0, self.drawn());
        let (scale, cols) = (self.scale(), self.size.1);
        let mut picture = vec![[255; 3]; width * height];
        for (tile, (x, y)) in self.tiles.iter().zip(places) {
            for (row, line) in tile.pixels.chunks(cols).enumerate() {
                for down in 0..scale {
                    let to = &mut picture[(y + row * scale + down) * width + x..][..cols * scale];
                    to.chunks_mut(scale).zip(line).for_each(|(to, &pixel)| to.fill(pixel));
                }
            }
        }
        png_of(png::ColorType::Rgb, picture.as_flattened(), (height, width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_drawn_where_it_belongs() {
        let tile = |first: u8| Tile::grey((0..6).map(|i| first + i), format!("{first}"));
        let grid = Grid { title: String::new(), tiles: vec![tile(10), tile(20), tile(30)], size: (2, 3), columns: 2 };
        let scale = grid.scale();
        assert_eq!(scale, 28);
        let png = grid.png();
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let width = info.width as usize;
        assert_eq!((width, info.height as usize), (8 + 2 * (84 + 8), 8 + 2 * (56 + 8)));
        // The last pixel of the third image, in the second line of the grid.
        let (x, y) = (8 + 84 - 1, 8 + 56 + 8 + 56 - 1);
        assert_eq!(pixels[(y * width + x) * 3], 35);
        assert_eq!(pixels[((8 + 84 + 8) + 8 * width) * 3], 20, "the first pixel of the second");
        assert!(grid.svg().contains(">30</text>"));
    }

    #[test]
    fn signs_have_colours_of_their_own() {
        let Tile { pixels, .. } = Tile::signed(&[0.0, 2.0, -9.0, -1.0], 2.0, String::new());
        assert_eq!(pixels, [[255; 3], [178, 24, 43], [33, 102, 172], [144, 178, 213]]);
    }
}
