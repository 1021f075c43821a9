use super::*;
use proptest::prelude::*;

/// Writes bits from the top down.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(mut self, value: u32, count: u32) -> Self {
        self.0.extend((0..count).rev().map(|i| value >> i & 1 == 1));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        self.0
            .chunks(8)
            .map(|c| {
                c.iter()
                    .enumerate()
                    .fold(0, |b, (i, bit)| b | u8::from(*bit) << (7 - i))
            })
            .collect()
    }
}

/// Two spatial layers, one temporal; two targets, two chains; three templates: key of the base,
/// delta of the base, and the upper layer.
fn structure_bits(bits: Bits) -> Bits {
    bits.put(60, 6) // template id offset
        .put(1, 5) // two decode targets
        // Layers: base, base again, upper, end.
        .put(0, 2)
        .put(2, 2)
        .put(3, 2)
        // Indications per template and target.
        .put(2, 2)
        .put(2, 2)
        .put(3, 2)
        .put(3, 2)
        .put(0, 2)
        .put(3, 2)
        // Frame diffs: none; 2; 1.
        .put(0, 1)
        .put(1, 1)
        .put(1, 4)
        .put(0, 1)
        .put(1, 1)
        .put(0, 4)
        .put(0, 1)
        // Chains: ns(3) of 2 is 0b11; protected by 0 and 1, ns(2) one bit each.
        .put(3, 2)
        .put(0, 1)
        .put(1, 1)
        // Chain diffs.
        .put(0, 4)
        .put(0, 4)
        .put(2, 4)
        .put(1, 4)
        .put(1, 4)
        .put(1, 4)
        // Resolutions.
        .put(1, 1)
        .put(319, 16)
        .put(179, 16)
        .put(639, 16)
        .put(359, 16)
}

/// The first packet of a keyframe, template 60, frame 5.
fn keyframe() -> Vec<u8> {
    let flags = Bits::default().put(0b10000, 5);
    let mut bytes = vec![0x80 | 60, 0, 5];
    bytes.extend(structure_bits(flags).bytes());
    bytes
}

#[test]
fn a_structure_is_read_whole() {
    let d = DependencyDescriptor::parse(&keyframe(), None).unwrap();
    assert!(d.head.start_of_frame && !d.head.end_of_frame && d.head.has_structure);
    assert_eq!((d.head.template_id, d.head.frame_number), (60, 5));
    assert_eq!(d.active_decode_targets, Some(0b11));
    let s = d.structure.unwrap();
    assert_eq!((s.decode_targets, s.chains), (2, 2));
    assert_eq!(s.protected_by, [0, 1]);
    assert_eq!(s.resolutions, [(320, 180), (640, 360)]);
    let layers: Vec<_> = s
        .templates
        .iter()
        .map(|t| (t.spatial_id, t.temporal_id))
        .collect();
    assert_eq!(layers, [(0, 0), (0, 0), (1, 0)]);
    assert_eq!(s.templates[1].frame_diffs, [2]);
    assert_eq!(s.templates[2].chain_diffs, [1, 1]);
    assert_eq!(s.layer_of(0), Some((0, 0)));
    assert_eq!(s.layer_of(1), Some((1, 0)));
    assert_eq!(s.layer_of(2), None);
    use Indication::{NotPresent, Required, Switch};
    assert_eq!(d.frame.unwrap().indications, [Switch, Switch]);
    assert_eq!(s.templates[2].indications, [NotPresent, Required]);
}

#[test]
fn template_ids_wrap_behind_the_offset() {
    let s = DependencyDescriptor::parse(&keyframe(), None)
        .unwrap()
        .structure
        .unwrap();
    assert_eq!(s.template(61), s.templates.get(1));
    assert_eq!(s.template(62), s.templates.get(2));
    assert_eq!(s.template(63), None);
    assert_eq!(s.template(0), None);
    let high = DependencyStructure {
        template_id_offset: 63,
        ..s
    };
    assert_eq!(high.template(0), high.templates.get(1));
}

#[test]
fn a_delta_frame_is_explained_by_the_current_structure() {
    let s = DependencyDescriptor::parse(&keyframe(), None)
        .unwrap()
        .structure
        .unwrap();
    let short = [0x40 | 62, 0, 6];
    let d = DependencyDescriptor::parse(&short, Some(&s)).unwrap();
    assert!(d.head.end_of_frame && !d.head.has_structure);
    assert_eq!(d.frame.unwrap().spatial_id, 1);
    assert_eq!(
        DependencyDescriptor::parse(&short, None).unwrap().frame,
        None
    );
}

#[test]
fn custom_values_replace_those_of_the_template() {
    let s = DependencyDescriptor::parse(&keyframe(), None)
        .unwrap()
        .structure
        .unwrap();
    let bits = Bits::default()
        .put(0b01111, 5) // mask, indications, frame diffs, chains
        .put(0b01, 2)
        .put(1, 2)
        .put(0, 2)
        .put(1, 2)
        .put(4, 4)
        .put(2, 2)
        .put(99, 8)
        .put(0, 2)
        .put(7, 8)
        .put(8, 8);
    let bytes = [&[0x80 | 61, 1, 0][..], &bits.bytes()].concat();
    let d = DependencyDescriptor::parse(&bytes, Some(&s)).unwrap();
    assert_eq!(d.active_decode_targets, Some(0b01));
    let f = d.frame.unwrap();
    assert_eq!(
        f.indications,
        [Indication::Discardable, Indication::NotPresent]
    );
    assert_eq!(f.frame_diffs, [5, 100]);
    assert_eq!(f.chain_diffs, [7, 8]);
    assert!(DependencyDescriptor::parse(&bytes, None).is_err());
}

#[test]
fn every_truncation_is_an_error() {
    let whole = keyframe();
    for n in 0..whole.len() {
        // Three bytes alone are a descriptor too.
        let result = DependencyDescriptor::parse(&whole[..n], None);
        assert_eq!(result.is_ok(), n == 3, "{n}");
    }
}

#[test]
fn keyframes_are_told_by_their_structure_whatever_the_codec() {
    use althing_model::profile::Codec;
    let key = keyframe();
    let delta = [0x80 | 61, 0, 6];
    // The payload says the opposite; encrypted payloads say anything.
    for codec in [Codec::Av1, Codec::Vp8, Codec::Vp9, Codec::H264] {
        assert!(crate::is_keyframe(codec, &[0x41], Some(&key)));
        assert!(!crate::is_keyframe(codec, &[0x65], Some(&delta)));
    }
    assert!(crate::is_keyframe(Codec::H264, &[0x65], None));
    assert!(crate::is_keyframe(Codec::Av1, &[0x08], None));
    assert!(crate::is_keyframe(Codec::Vp8, &[0x10, 0x50], None));
    assert!(crate::is_keyframe(Codec::Vp9, &[0x08], None));
    assert!(crate::is_keyframe(Codec::Opus, &[], None));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        crate::fuzzing::dependency(&bytes);
        crate::fuzzing::vp8(&bytes);
        crate::fuzzing::vp9(&bytes);
        crate::fuzzing::h264(&bytes);
    }

    #[test]
    fn no_structure_panics(mut bytes in prop::collection::vec(any::<u8>(), 4..250)) {
        bytes[3] |= 0x80;
        crate::fuzzing::dependency(&bytes);
    }
}
