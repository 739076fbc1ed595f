//! GIF: the first frame, decoded by the crate `gif`, on the canvas of the file.

use ekiben_runtime::artifact::image::{Mode, PassOrder};
use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::{DecodeError, Image, Limits, Transparency, checked_size, palette_of};

const FORMAT: &str = "GIF";

/// Reads the first image of a file.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(
        std::num::NonZeroU64::new(limits.max_bytes as u64).unwrap_or(std::num::NonZeroU64::MIN),
    ));
    let mut decoder = options.read_info(bytes).map_err(problem)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.next_frame_info().map_err(problem)?;
    let frame = frame.ok_or_else(|| DecodeError::damaged(FORMAT, None, "it has no image"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (across, down) = (usize::from(frame.width), usize::from(frame.height));
    let transparent = frame.transparent;
    let local = frame.palette.clone();
    let (width, height) = (screen.0.max(left + across), screen.1.max(top + down));
    checked_size(FORMAT, (width, height), limits)?;
    checked_size(FORMAT, (across, down), limits)?;
    let mut pixels = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut pixels).map_err(problem)?;

    let mut data = vec![transparent.unwrap_or(0); width * height];
    for (y, row) in pixels.chunks_exact(across).take(down).enumerate() {
        let start = (top + y) * width + left;
        data[start..start + across].copy_from_slice(row);
    }
    let colours = local.or(global).filter(|colours| !are_their_positions(colours));
    let mode = if colours.is_some() { Mode::P } else { Mode::L };
    let palette = colours.map(|colours| palette_of(colours.as_chunks::<3>().0.iter().copied()));
    let transparency = transparent.map(|index| Transparency::One(index.into()));
    let max_pixels = limits.max_pixels;
    Ok(Image {
        mode,
        width,
        height,
        data,
        palette,
        transparency,
        orientation: 1,
        max_pixels,
        order: PassOrder::default(),
    })
}

/// Whether each colour is the gray of its position, so that positions are grays.
fn are_their_positions(colours: &[u8]) -> bool {
    colours.as_chunks::<3>().0.iter().enumerate().all(|(index, colour)| colour.map(usize::from) == [index; 3])
}

fn problem(error: DecodingError) -> DecodeError {
    DecodeError::damaged(FORMAT, None, error.to_string())
}
