//! The worked examples of protocol 5 §11.6, its vectors, and the whole range of bandwidth.

use super::*;

const KBIT: u64 = 1000;

fn layer(encoding: u8, temporal: u8, height: u32, fps: f32, kbit: u64) -> Layer {
    Layer {
        id: LayerId {
            encoding,
            spatial: 0,
            temporal,
        },
        height,
        fps,
        bitrate: kbit * KBIT,
        active: true,
    }
}

/// Three encodings of three frame rates each, at the given kbit/s.
fn encodings(heights: &[u32], rates: &[[u64; 3]]) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (e, (&height, kbit)) in heights.iter().zip(rates).enumerate() {
        for (t, fps) in [7.5, 15.0, 30.0].into_iter().enumerate() {
            layers.push(layer(e as u8, t as u8, height, fps, kbit[t]));
        }
    }
    layers
}

/// The camera of the worked examples.
fn camera() -> Vec<Layer> {
    encodings(
        &[180, 360, 720],
        &[[60, 100, 150], [200, 320, 500], [700, 1000, 1500]],
    )
}

fn candidate(layers: &[Layer], max_height: i32) -> Candidate<'_> {
    Candidate {
        layers,
        max_height,
        on_stage: false,
        is_share: false,
        current: None,
        eager: true,
        waits: false,
        begins: false,
    }
}

fn run(budget: Option<u64>, candidates: &[Candidate<'_>]) -> Vec<Choice> {
    let mut out = Vec::new();
    allocate(
        budget.map(|kbit| kbit * KBIT),
        candidates,
        &Rules::DEFAULT,
        &mut out,
    );
    assert_eq!(out.len(), candidates.len());
    out
}

/// `180p7.5 - 360p30`: what each gets, in words.
fn words(choices: &[Choice], candidates: &[Candidate<'_>]) -> String {
    let word = |(choice, candidate): (&Choice, &Candidate<'_>)| {
        let found = candidate
            .layers
            .iter()
            .find(|l| Some(l.id) == choice.target);
        found.map_or_else(|| "-".to_owned(), |l| format!("{}p{}", l.height, l.fps))
    };
    let words: Vec<String> = choices.iter().zip(candidates).map(word).collect();
    words.join(" ")
}

#[track_caller]
fn check(budget: Option<u64>, candidates: &[Candidate<'_>], expected: &str) {
    let choices = run(budget, candidates);
    assert_eq!(
        words(&choices, candidates),
        expected,
        "at {budget:?} kbit/s"
    );
}

#[test]
fn the_worked_examples_with_somebody_on_stage() {
    let layers = camera();
    let stage = Candidate {
        on_stage: true,
        ..candidate(&layers, 720)
    };
    let view = [stage, candidate(&layers, 180), candidate(&layers, 180)];
    for (kbit, expected) in [
        (100, "180p15 - -"),
        (400, "180p30 - -"),
        (600, "360p30 180p7.5 -"),
        (1000, "360p30 180p30 180p30"),
        (2500, "720p30 180p30 180p30"),
    ] {
        check(Some(kbit), &view, expected);
    }
    check(None, &view, "720p30 180p30 180p30");
}

#[test]
fn the_worked_examples_of_tiles() {
    let layers = camera();
    let view = [candidate(&layers, 360); 3];
    for (kbit, expected) in [
        (200, "180p7.5 180p7.5 180p7.5"),
        (400, "180p30 180p15 180p15"),
        (800, "180p30 180p30 180p30"),
        (1600, "360p30 360p30 360p30"),
    ] {
        check(Some(kbit), &view, expected);
    }
}

#[test]
fn a_screen_share_on_stage_may_exceed_the_path_by_half_a_megabit() {
    for (kbit, expected) in [(600, "1080p5"), (700, "1080p5"), (701, "-"), (800, "-")] {
        let layers = [layer(0, 0, 1080, 5.0, kbit)];
        let share = Candidate {
            on_stage: true,
            is_share: true,
            ..candidate(&layers, -1)
        };
        check(Some(200), &[share], expected);
        let choice = run(Some(200), &[share])[0];
        assert_eq!(choice.oversends, expected != "-");
        assert_eq!(choice.ideal_bitrate, kbit * KBIT);
        // Nobody else may: not off stage, not as the second, not a camera.
        let others = [
            Candidate {
                on_stage: false,
                ..share
            },
            Candidate {
                is_share: false,
                ..share
            },
        ];
        for other in others {
            check(Some(200), &[other], "-");
        }
        let first = [layer(0, 0, 180, 30.0, 10)];
        check(Some(200), &[candidate(&first, 180), share], "180p30 -");
    }
}

#[test]
fn a_share_keeps_its_native_resolution_and_gives_up_frames() {
    let layers = encodings(&[540, 1080], &[[150, 250, 400], [600, 900, 1400]]);
    let camera = camera();
    for on_stage in [true, false] {
        let share = Candidate {
            on_stage,
            is_share: true,
            ..candidate(&layers, -1)
        };
        // The cheapest 1080p comes before the fluent 540p; not oversending, so off stage.
        if !on_stage {
            check(Some(599), &[share], "540p30");
        }
        check(Some(601), &[share], "1080p7.5");
        check(Some(901), &[share], "1080p15");
        check(Some(1401), &[share], "1080p30");
        // Frames of the share and thumbnails grow side by side.
        let view = [share, candidate(&camera, 180), candidate(&camera, 180)];
        check(Some(801), &view, "1080p7.5 180p15 180p15");
        check(Some(1300), &view, "1080p15 180p30 180p30");
    }
    let share = Candidate {
        on_stage: true,
        is_share: true,
        ..candidate(&layers, -1)
    };
    check(Some(101), &[share], "1080p7.5");
    check(Some(99), &[share], "540p30");
}

#[test]
fn a_share_wanted_small_comes_in_its_least_size() {
    let layers = encodings(&[540, 1080], &[[150, 250, 400], [600, 900, 1400]]);
    let share = Candidate {
        is_share: true,
        ..candidate(&layers, 180)
    };
    check(None, &[share], "540p30");
    check(Some(200), &[share], "540p7.5");
    check(Some(100), &[share], "-");
}

#[test]
fn what_is_not_sent_is_not_chosen() {
    let mut layers = camera();
    for l in &mut layers[3..] {
        l.active = false;
        l.bitrate = 0;
    }
    check(None, &[candidate(&layers, 720)], "180p30");
    // Before anything is sent, the best that is likely to fit; others lose nothing by it.
    for l in &mut layers {
        l.active = false;
        l.bitrate = 0;
    }
    let other = camera();
    let silent = Candidate {
        on_stage: true,
        ..candidate(&layers, 720)
    };
    check(None, &[silent], "720p30");
    check(Some(2500), &[silent], "720p30");
    check(Some(1000), &[silent], "360p30");
    check(Some(50), &[silent], "180p7.5");
    let view = [silent, candidate(&other, 720)];
    check(Some(550), &view, "180p7.5 360p30");
}

#[test]
fn the_lowest_height_is_a_candidate_even_if_it_is_too_tall() {
    let layers = encodings(&[720, 1080], &[[300, 500, 800], [700, 900, 1500]]);
    check(None, &[candidate(&layers, 180)], "720p30");
    check(Some(350), &[candidate(&layers, 180)], "720p7.5");
}

#[test]
fn a_dearer_step_below_a_cheaper_one_is_skipped() {
    // H.264 without temporal layers: all three are the whole stream.
    let layers = encodings(&[180], &[[150, 150, 150]]);
    check(Some(200), &[candidate(&layers, 180)], "180p30");
    // Spatial layers that need nothing of those below them.
    let layers = encodings(&[180, 360], &[[60, 100, 300], [110, 130, 250]]);
    check(Some(260), &[candidate(&layers, 720)], "360p30");
}

#[test]
fn a_slower_camera_keeps_its_best_height() {
    let layers = [
        layer(0, 2, 180, 30.0, 150),
        layer(1, 2, 360, 30.0, 500),
        layer(2, 2, 720, 20.0, 1200),
    ];
    check(None, &[candidate(&layers, 720)], "720p20");
}

#[test]
fn a_stage_that_cannot_be_had_leaves_the_others_alone() {
    let layers = camera();
    let dear = [layer(0, 0, 1080, 30.0, 3000)];
    let share = Candidate {
        on_stage: true,
        is_share: true,
        ..candidate(&dear, -1)
    };
    check(Some(400), &[share, candidate(&layers, 180)], "- 180p30");
}

#[test]
fn an_upgrade_needs_headroom_or_patience() {
    let layers = camera();
    let of = |i: usize| Some(layers[i].id);
    let at = |current, eager| Candidate {
        current,
        eager,
        ..candidate(&layers, 360)
    };
    // 360p30 takes 500.
    for (budget, from, eager, expected, held) in [
        (510, of(2), false, "180p30", true),
        (550, of(2), false, "180p30", true),
        (552, of(2), false, "360p30", false),
        (510, of(2), true, "360p30", false),
        (510, of(5), false, "360p30", false),
        // Down it goes at once.
        (499, of(5), false, "180p30", false),
        // Nothing before, and not just asked for: it was suspended.
        (61, None, false, "-", true),
        (61, None, true, "180p7.5", false),
    ] {
        let view = [at(from, eager)];
        check(Some(budget), &view, expected);
        assert_eq!(run(Some(budget), &view)[0].held_back, held, "{budget}");
    }
    // Without a limit there is nothing to wait for.
    check(None, &[at(of(0), false)], "360p30");
}

#[test]
fn nobody_gives_up_anything_for_an_upgrade_that_is_held_back() {
    let layers = camera();
    let stage = Candidate {
        on_stage: true,
        current: Some(layers[5].id),
        eager: false,
        ..candidate(&layers, 720)
    };
    let thumbnail = Candidate {
        current: Some(layers[2].id),
        eager: false,
        ..candidate(&layers, 180)
    };
    // 1500 + 60 + 60 fit, but only just: until then 500 + 150 + 150 stay.
    let view = [stage, thumbnail, thumbnail];
    check(Some(1650), &view, "360p30 180p30 180p30");
    let view = [
        Candidate {
            eager: true,
            ..stage
        },
        thumbnail,
        thumbnail,
    ];
    check(Some(1650), &view, "720p30 180p7.5 180p7.5");
}

#[test]
fn odd_layers_harm_nobody() {
    check(Some(100), &[candidate(&[], 720)], "-");
    let many: Vec<Layer> = (0..200)
        .map(|i| layer(i, 0, u32::from(i) * 1000, f32::NAN, u64::MAX / KBIT))
        .collect();
    let view = [candidate(&many, -1); 60];
    for budget in [Some(0), Some(1), Some(u64::MAX / KBIT), None] {
        run(budget, &view);
    }
}

/// One receiver on a fake clock: who is shown how, and what it got so far.
struct Viewer<'a> {
    view: Vec<Candidate<'a>>,
    held_since: Vec<Option<u64>>,
    switches: usize,
    keyframes: usize,
}

impl<'a> Viewer<'a> {
    fn new(view: Vec<Candidate<'a>>) -> Self {
        Self {
            held_since: vec![None; view.len()],
            view,
            switches: 0,
            keyframes: 0,
        }
    }

    /// As the conference does it: patience after a second.
    fn step(&mut self, budget: u64, now_ms: u64) -> Vec<Choice> {
        for (c, since) in self.view.iter_mut().zip(&self.held_since) {
            c.eager = since.is_some_and(|at| now_ms >= at + 1000);
        }
        let mut choices = Vec::new();
        allocate(Some(budget), &self.view, &Rules::DEFAULT, &mut choices);
        for (i, choice) in choices.iter().enumerate() {
            let c = &mut self.view[i];
            if choice.target != c.current {
                self.switches += 1;
                let picture = |id: Option<LayerId>| id.map(|id| (id.encoding, id.spatial));
                if picture(choice.target) > picture(c.current) {
                    self.keyframes += 1;
                }
            }
            c.current = choice.target;
            let held = &mut self.held_since[i];
            *held = choice.held_back.then(|| held.unwrap_or(now_ms));
        }
        choices
    }
}

fn height(candidate: &Candidate<'_>, choice: &Choice) -> u32 {
    let found = candidate
        .layers
        .iter()
        .find(|l| Some(l.id) == choice.target);
    found.map_or(0, |l| l.height)
}

/// Several views, the number of picture sizes each can go through, and whether one is on stage.
fn views<'a>(camera: &'a [Layer], svc: &'a [Layer], share: &'a [Layer]) -> Vec<Vec<Candidate<'a>>> {
    let stage = |layers, max| Candidate {
        on_stage: true,
        ..candidate(layers, max)
    };
    let shown = Candidate {
        is_share: true,
        ..stage(share, -1)
    };
    vec![
        vec![candidate(camera, 720)],
        [vec![stage(camera, 720)], vec![candidate(camera, 180); 6]].concat(),
        vec![candidate(camera, 360); 9],
        [vec![stage(svc, -1)], vec![candidate(svc, 180); 3]].concat(),
        [vec![shown], vec![candidate(camera, 180); 5]].concat(),
        // A share among tiles, not on stage.
        [
            vec![Candidate {
                on_stage: false,
                ..shown
            }],
            vec![candidate(camera, 360); 3],
        ]
        .concat(),
    ]
}

#[test]
fn from_low_to_high_and_down_again() {
    let camera = camera();
    let mut svc = encodings(
        &[180, 360, 720],
        &[[50, 80, 110], [150, 240, 330], [450, 700, 1000]],
    );
    for (i, l) in svc.iter_mut().enumerate() {
        l.id = LayerId {
            encoding: 0,
            spatial: (i / 3) as u8,
            temporal: (i % 3) as u8,
        };
    }
    let share = encodings(&[540, 1080], &[[150, 250, 400], [600, 900, 1400]]);
    let step = 10 * KBIT;
    let up = (0..=600).map(|i| i * step);
    let budgets: Vec<u64> = up.clone().chain(up.rev()).collect();
    for view in views(&camera, &svc, &share) {
        let mut viewer = Viewer::new(view);
        let mut before: Option<Vec<u32>> = None;
        for (i, &budget) in budgets.iter().enumerate() {
            let rising = i < budgets.len() / 2;
            // As the bandwidth changes by a step each 50 ms.
            let choices = viewer.step(budget, 50 * i as u64);
            let view = &viewer.view;
            let sum: u64 = choices.iter().map(|c| c.target_bitrate).sum();
            let over = choices.iter().any(|c| c.oversends);
            let most = if over { budget + 500 * KBIT } else { budget };
            assert!(sum <= most, "{sum} of {budget}");
            if over {
                assert!(view[0].is_share && view[0].on_stage && choices[0].oversends);
            }
            // Whoever is on stage comes first.
            if view[0].on_stage
                && height(&view[0], &choices[0]) < 360
                && choices[0].target.is_some()
            {
                assert!(choices[1..].iter().all(|c| c.target.is_none()));
            }
            // A share is sharp before it is fluent.
            if view[0].is_share && choices[0].target_bitrate > 600 * KBIT {
                assert_eq!(height(&view[0], &choices[0]), 1080);
            }
            // Picture sizes only grow, and then only shrink.
            let heights: Vec<u32> = view
                .iter()
                .zip(&choices)
                .map(|(v, c)| height(v, c))
                .collect();
            if let Some(before) = before.replace(heights.clone()) {
                for (at, (was, is)) in before.iter().zip(&heights).enumerate() {
                    let (worse, better) = if rising {
                        (is < was, is > was)
                    } else {
                        (is > was, is < was)
                    };
                    assert!(!worse, "{at}: {was} then {is} at {budget}");
                    // A screen among tiles comes before those behind it, and in one step.
                    if better && view[at].is_share {
                        break;
                    }
                }
            }
        }
        // Each way a source goes through each of its pictures once, and through frame rates twice
        // at most: those of thumbnails give way when the stage grows.
        let view = &viewer.view;
        let pictures: usize = view
            .iter()
            .map(|c| Work::new(c, &Rules::DEFAULT))
            .map(|w| {
                w.indices()
                    .map(|i| w.candidate.layers[i].height)
                    .collect::<std::collections::BTreeSet<_>>()
                    .len()
            })
            .sum();
        let steps: usize = view
            .iter()
            .map(|c| Work::new(c, &Rules::DEFAULT).indices().count())
            .sum();
        // Those behind a screen give way to its first picture, each way.
        let (pictures, steps) = if view[0].is_share && !view[0].on_stage {
            (2 * pictures, 6 * steps)
        } else {
            (pictures, 4 * steps)
        };
        assert!(viewer.keyframes <= pictures, "{}", viewer.keyframes);
        assert!(viewer.switches <= steps, "{} of {steps}", viewer.switches);
    }
}

#[test]
fn a_bandwidth_that_wavers_does_not_make_the_picture_waver() {
    let layers = camera();
    // Just around what 360p30 takes: five percent up and down, every 200 ms for a minute.
    let mut viewer = Viewer::new(vec![candidate(&layers, 360)]);
    for i in 0..300u64 {
        let wave = [0, 15, 25, 15, 0, 10, 20, 5][i as usize % 8];
        viewer.step((490 + wave) * KBIT, 200 * i);
    }
    // 490 does not carry it, and no second passes without 490.
    assert_eq!(viewer.keyframes, 1, "the first picture");
    // Just above it: taken once, after a second.
    let mut viewer = Viewer::new(vec![candidate(&layers, 360)]);
    for i in 0..300u64 {
        viewer.step((501 + i % 20) * KBIT, 200 * i);
    }
    assert_eq!(viewer.keyframes, 2, "the first picture and the upgrade");
}
