//! Contrast and colour blindness, computed.
//!
//! Contrast as WCAG 2.2 defines it. Colour vision deficiency by the matrices of Machado, Oliveira and Fernandes (2009),
//! severity 1.0, on linear light; distances in `OKLab` (Ottosson, 2020), times 100.

use super::*;

type Three = [f64; 3];

const PROTANOPIA: [Three; 3] =
    [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]];
const DEUTERANOPIA: [Three; 3] =
    [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]];
const TRITANOPIA: [Three; 3] =
    [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]];
const NONE: [Three; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
const VISIONS: [(&str, [Three; 3]); 4] =
    [("full", NONE), ("protanopia", PROTANOPIA), ("deuteranopia", DEUTERANOPIA), ("tritanopia", TRITANOPIA)];

const MEANINGS: [Meaning; 4] = [Meaning::Good, Meaning::Bad, Meaning::Warn, Meaning::Accent];
const TEXTS: [Meaning; 6] =
    [Meaning::Text, Meaning::Muted, Meaning::Accent, Meaning::Good, Meaning::Bad, Meaning::Warn];
const KNOWN: [Depth; 2] = [Depth::Indexed, Depth::Rgb];

fn times(matrix: &[Three; 3], v: Three) -> Three {
    matrix.map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum())
}

/// The light of a colour, linear.
fn light(color: Color) -> Three {
    let (red, green, blue) = match color {
        Color::Rgb(red, green, blue) => (red, green, blue),
        Color::Indexed(number @ 16..) => rgb(number),
        other => panic!("nobody knows how {other} looks"),
    };
    [red, green, blue].map(|byte| {
        let part = f64::from(byte) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    })
}

fn luminance(color: Color) -> f64 {
    let [red, green, blue] = light(color);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(a: Color, b: Color) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn oklab(light: Three) -> Three {
    let cones = [
        [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
        [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
        [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
    ];
    let axes = [
        [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
        [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
        [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
    ];
    times(&axes, times(&cones, light).map(f64::cbrt))
}

fn distance(a: Color, b: Color, vision: &[Three; 3]) -> f64 {
    let seen = |color| oklab(times(vision, light(color)).map(|part| part.clamp(0.0, 1.0)));
    seen(a).iter().zip(seen(b)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() * 100.0
}

/// The least distance of two meanings over all kinds of vision.
fn apart(name: ThemeName, depth: Depth, a: Meaning, b: Meaning) -> f64 {
    let (a, b) = (color(name, depth, a), color(name, depth, b));
    VISIONS.iter().map(|(_, vision)| distance(a, b, vision)).fold(f64::INFINITY, f64::min)
}

#[test]
fn the_measures_give_what_is_published() {
    let (black, white) = (Color::Rgb(0, 0, 0), Color::Rgb(255, 255, 255));
    assert!((contrast(black, white) - 21.0).abs() < 1e-9);
    assert!((contrast(white, Color::Rgb(118, 118, 118)) - 4.54).abs() < 0.01);
    assert!((distance(black, white, &NONE) - 100.0).abs() < 0.01);
    let [l, a, b] = oklab(light(Color::Rgb(255, 0, 0)));
    assert!((l - 0.628).abs() < 1e-3 && (a - 0.2249).abs() < 1e-3 && (b - 0.1258).abs() < 1e-3);
    // Each row of the matrices keeps greys grey.
    for (name, vision) in VISIONS {
        assert!(vision.iter().all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-5), "{name}");
    }
    assert_eq!((rgb(16), rgb(231), rgb(208), rgb(255)), ((0, 0, 0), (255, 255, 255), (255, 135, 0), (238, 238, 238)));
}

#[test]
fn meanings_stay_apart_with_every_kind_of_vision() {
    let name = ThemeName::ColourBlind;
    for depth in KNOWN {
        for (at, a) in MEANINGS.into_iter().enumerate() {
            for b in MEANINGS.into_iter().skip(at + 1) {
                let apart = apart(name, depth, a, b);
                assert!(apart >= 15.0, "{a:?} and {b:?} at {depth:?}: {apart:.1}");
            }
            for b in [Meaning::Text, Meaning::Muted] {
                let apart = apart(name, depth, a, b);
                assert!(apart >= 5.0, "{a:?} and {b:?} at {depth:?}: {apart:.1}");
            }
        }
    }
    // The measure sees what the theme is for: green and red are nearer than that in the others.
    for name in [ThemeName::Dark, ThemeName::Light, ThemeName::HighContrast] {
        assert!(apart(name, Depth::Rgb, Meaning::Good, Meaning::Bad) < 15.0, "{name:?}");
    }
}

#[test]
fn every_text_can_be_read_on_its_ground() {
    let themes = [
        (ThemeName::Dark, 4.5),
        (ThemeName::Light, 4.5),
        (ThemeName::ColourBlind, 4.5),
        (ThemeName::HighContrast, 7.0),
    ];
    for (name, least) in themes {
        for depth in KNOWN {
            let ground = color(name, depth, Meaning::Ground);
            for text in TEXTS {
                let contrast = contrast(color(name, depth, text), ground);
                assert!(contrast >= least, "{text:?} of {name:?} at {depth:?}: {contrast:.2}");
            }
        }
    }
}

#[test]
fn both_depths_show_the_same_colours() {
    for name in ThemeName::ALL {
        for meaning in TEXTS.into_iter().chain([Meaning::Ground]) {
            let of = |depth| color(name, depth, meaning);
            match (of(Depth::Indexed), of(Depth::Rgb)) {
                (Color::Indexed(number), Color::Rgb(red, green, blue)) => {
                    assert!(number >= 16, "{name:?} {meaning:?}: a palette of the user's may change it");
                    assert_eq!(rgb(number), (red, green, blue));
                }
                (indexed, all) => {
                    assert!(matches!(name, ThemeName::Terminal | ThemeName::None), "{name:?}");
                    assert_eq!(indexed, all);
                }
            }
        }
    }
}

#[test]
fn the_environment_tells_the_depth() {
    let depth = |colorterm: &'static str, term: &'static str| {
        Depth::of(move |name| Some(if name == "TERM" { term } else { colorterm }.to_owned()))
    };
    assert_eq!(depth("truecolor", "xterm"), Depth::Rgb);
    assert_eq!(depth("24bit", "screen-256color"), Depth::Rgb);
    assert_eq!(depth("", "tmux-256color"), Depth::Indexed);
    assert_eq!(depth("", "xterm-kitty"), Depth::Indexed);
    assert_eq!(depth("yes", "xterm"), Depth::Sixteen);
    assert_eq!(depth("", "linux"), Depth::Sixteen);
    assert_eq!(Depth::of(|_| None), Depth::Sixteen);
}
