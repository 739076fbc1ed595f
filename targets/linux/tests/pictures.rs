//! Requests with images: files and forms, and what is done with an image before it is a tensor.

use ekiben_edge::image::Image as Pixels;
use ekiben_edge::score::{ScoreError, Scorer};
use ekiben_runtime::artifact::image::{
    Filter, Image, ImageStep, ImageUse, Measure, MeasureKind, Mode, PassOrder, Turn,
};
use ekiben_runtime::artifact::manifest::{
    Api, Generation, InputAdapter, Manifest, Parameter, ParameterKind, Provenance, Returns,
};
use ekiben_runtime::artifact::tensors::{Place, TensorRecord};
use ekiben_runtime::artifact::{ApiParts, ArtifactParts, Extent, StepParts, emit};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::session::ArenaBuffer;
use ekiben_runtime::{Artifact, DType, Shape, TensorSpec};

/// Memory of one row: enough for every image here.
const ROW: u32 = 256;

/// An artifact whose API takes bytes of this shape, one image for each row, and gives them as floats.
struct Fixture {
    buffer: ArenaBuffer,
    length: usize,
    apis: Vec<Api>,
}

impl Fixture {
    fn new(dims: &[usize], input: InputAdapter) -> Self {
        let mut parts = ArtifactParts::default();
        let dims: Vec<usize> = std::iter::once(1).chain(dims.iter().copied()).collect();
        let shape = Shape::new(&dims, Some(0)).unwrap();
        let mut record = |name: &str, dtype, per_row| {
            let name = Some(parts.strings.string(name));
            let spec = TensorSpec::new(dtype, shape);
            parts.tensors.push(TensorRecord { spec, place: Place::Arena { offset: 0, per_row }, name });
            parts.tensors.len() as u32 - 1
        };
        let (x, y) = (record("x", DType::U8, 0), record("y", DType::F32, ROW));
        let api = Api {
            name: "predict".to_owned(),
            route: "predict".to_owned(),
            description: String::new(),
            batch: true,
            input,
            returns: Returns::output(0),
            max_batch_size: None,
            max_latency_ms: None,
            is_text: false,
            wire: Default::default(),
        };
        let manifest = Manifest {
            name: "Pictures".to_owned(),
            version: "1".to_owned(),
            generation: Generation::V1,
            description: String::new(),
            labels: Default::default(),
            provenance: Provenance::default(),
            apis: vec![api.clone()],
            documents: Default::default(),
        };
        parts.manifest = manifest.to_cbor().unwrap();
        let name = parts.strings.string("predict");
        parts.apis.push(ApiParts {
            name,
            inputs: vec![x],
            outputs: vec![y],
            fixed_rows: 0,
            arena: Extent { fixed: 0, per_row: 2 * u64::from(ROW) },
            states: vec![],
            steps: vec![StepParts {
                op: Cast { to: DType::F32 }.into(),
                inputs: vec![Some(x)],
                outputs: vec![y],
                scratch: None,
                in_place: false,
            }],
        });
        let bytes = emit(&parts).unwrap();
        let mut buffer = ArenaBuffer::default();
        buffer.get(bytes.len())[..bytes.len()].copy_from_slice(&bytes);
        // The manifest that a device reads is the one that the artifact holds.
        let manifest = Manifest::from_cbor(&parts.manifest).unwrap();
        Self { buffer, length: bytes.len(), apis: manifest.apis }
    }

    fn answer(&mut self, body: &[u8]) -> Result<String, ScoreError> {
        let artifact = Artifact::parse(&self.buffer.get(self.length)[..self.length]).unwrap();
        let mut out = Vec::new();
        Scorer::new(&artifact, &self.apis, 0).unwrap().score_request(body, &mut out, None)?;
        Ok(String::from_utf8(out).unwrap().trim_end().to_owned())
    }

    fn message(&mut self, body: &[u8]) -> String {
        self.answer(body).unwrap_err().to_string()
    }
}

/// The parameter `image` with these steps; a list of images where there are `rows`.
fn parameter(name: &str, steps: &[ImageStep], rows: bool) -> Parameter {
    let image = ParameterKind::Image(Image {
        uses: vec![ImageUse { steps: steps.to_vec(), input: 0 }],
        order: PassOrder::default(),
    });
    let kind = if rows { ParameterKind::Records(Box::new(image)) } else { image };
    Parameter { name: name.to_owned(), kind, default: None }
}

fn file(steps: &[ImageStep]) -> InputAdapter {
    InputAdapter::File { parameters: vec![parameter("image", steps, true)], row: true }
}

fn png(mode: Mode, width: usize, height: usize, data: &[u8]) -> Vec<u8> {
    Pixels::new(mode, width, height, data.to_vec()).unwrap().to_png().unwrap()
}

/// A form with one part for each (name, file name, bytes).
fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        body.extend(format!("--b0undary\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--b0undary--\r\n");
    body
}

/// A row of six pixels, 10 to 60.
fn gray() -> Vec<u8> {
    png(Mode::L, 6, 1, &[10, 20, 30, 40, 50, 60])
}

fn of(kind: MeasureKind, operands: &[Measure]) -> Measure {
    Measure::Of(kind, operands.to_vec())
}

#[test]
fn a_file_is_the_body_or_a_part_of_a_form() {
    let mut fixture = Fixture::new(&[1, 6], file(&[ImageStep::Convert(Mode::L)]));
    let expected = "[[10.0, 20.0, 30.0, 40.0, 50.0, 60.0]]";
    assert_eq!(fixture.answer(&gray()).unwrap(), expected);
    assert_eq!(fixture.answer(&form(&[("anything", Some("x.png"), &gray())])).unwrap(), expected);
    for (body, said) in [
        (b"no image".to_vec(), "image"),
        (gray()[..40].to_vec(), "image"),
        (Vec::new(), "image"),
        (form(&[("image", Some("x.png"), &gray())])[..60].to_vec(), "form"),
        (png(Mode::L, 5, 1, &[1; 5]), "[1, 5], the API takes [1, 6]"),
    ] {
        let message = fixture.message(&body);
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn images_of_parameters_are_found_by_name() {
    let steps = [ImageStep::Require(Mode::Rgb), ImageStep::ReverseChannels];
    let single = InputAdapter::Parameters(vec![parameter("photo", &steps, false)]);
    let pixel = png(Mode::Rgb, 1, 1, &[1, 2, 3]);
    let mut fixture = Fixture::new(&[1, 1, 3], single);
    assert_eq!(fixture.answer(&form(&[("photo", Some("x.png"), &pixel)])).unwrap(), "[[[[3.0, 2.0, 1.0]]]]");
    let other = fixture.message(&form(&[("picture", Some("x.png"), &pixel)]));
    assert!(other.contains("photo") && other.contains("missing"), "{other}");
    let gray = fixture.message(&form(&[("photo", Some("x.png"), &gray())]));
    assert!(gray.contains("mode L") && gray.contains("RGB"), "{gray}");
    let json = fixture.message(b"{\"photo\": 1}");
    assert!(json.contains("file of a form"), "{json}");

    let several = InputAdapter::Parameters(vec![parameter("photos", &steps, true)]);
    let mut fixture = Fixture::new(&[1, 1, 3], several);
    let second = png(Mode::Rgb, 1, 1, &[7, 8, 9]);
    let both = form(&[("photos", Some("a.png"), &pixel), ("photos", Some("b.png"), &second)]);
    assert_eq!(fixture.answer(&both).unwrap(), "[[[[3.0, 2.0, 1.0]]], [[[9.0, 8.0, 7.0]]]]");
}

#[test]
fn steps_follow_the_size_of_the_image() {
    // The middle two of as many pixels as there are.
    let middle = of(
        MeasureKind::FloorDivide,
        &[of(MeasureKind::Subtract, &[Measure::Width(0), Measure::Constant(2.0)]), Measure::Constant(2.0)],
    );
    let end = of(MeasureKind::Add, &[middle.clone(), Measure::Constant(2.0)]);
    let crop = ImageStep::Crop([middle, Measure::Constant(0.0), end, Measure::Height(0)]);
    let mut fixture = Fixture::new(&[1, 2], file(std::slice::from_ref(&crop)));
    assert_eq!(fixture.answer(&gray()).unwrap(), "[[30.0, 40.0]]");
    assert_eq!(fixture.answer(&png(Mode::L, 4, 1, &[1, 2, 3, 4])).unwrap(), "[[2.0, 3.0]]");

    let half = of(MeasureKind::Truncate, &[of(MeasureKind::Divide, &[Measure::Width(0), Measure::Constant(2.0)])]);
    let resize = |width| ImageStep::Resize {
        width,
        height: Measure::Constant(1.0),
        filter: Filter::Box,
        part: None,
        reducing_gap: None,
    };
    let mut fixture = Fixture::new(&[1, 3], file(&[resize(half)]));
    assert_eq!(fixture.answer(&gray()).unwrap(), "[[15.0, 35.0, 55.0]]");

    let nothing = of(MeasureKind::Divide, &[Measure::Width(0), Measure::Constant(0.0)]);
    let mut fixture = Fixture::new(&[1, 3], file(&[resize(nothing)]));
    assert!(fixture.message(&gray()).contains("divides by zero"));
    let mut fixture = Fixture::new(&[1, 3], file(&[resize(Measure::Constant(1e9))]));
    assert!(fixture.message(&gray()).contains("not possible"));
    let mut fixture = Fixture::new(&[1, 3], file(&[resize(Measure::Width(7))]));
    assert!(fixture.answer(&gray()).is_err());
}

#[test]
fn torchvision_and_fit_cut_the_middle() {
    let wide = png(Mode::L, 6, 2, &[1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]);
    let mut crop = Fixture::new(&[2, 2], file(&[ImageStep::CenterCrop { width: 2, height: 2 }]));
    assert_eq!(crop.answer(&wide).unwrap(), "[[3.0, 4.0], [13.0, 14.0]]");
    // Zeros stand around an image that is too small.
    let mut crop = Fixture::new(&[3, 3], file(&[ImageStep::CenterCrop { width: 3, height: 3 }]));
    assert_eq!(crop.answer(&png(Mode::L, 1, 1, &[9])).unwrap(), "[[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]");
    let fit = ImageStep::Fit { width: 1, height: 1, filter: Filter::Box, centering: [0.5, 0.5] };
    let mut fixture = Fixture::new(&[1, 1], file(&[fit]));
    assert_eq!(fixture.answer(&wide).unwrap(), "[[9.0]]");
    let side = ImageStep::ShorterSide { length: 1, filter: Filter::Box };
    let mut fixture = Fixture::new(&[1, 3], file(&[side]));
    assert_eq!(fixture.answer(&wide).unwrap(), "[[7.0, 9.0, 11.0]]");
    let turn = ImageStep::Turn(Turn::FlipLeftRight);
    let mut fixture = Fixture::new(&[1, 6], file(&[turn]));
    assert_eq!(fixture.answer(&gray()).unwrap(), "[[60.0, 50.0, 40.0, 30.0, 20.0, 10.0]]");
}
