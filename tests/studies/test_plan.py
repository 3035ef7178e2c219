"""From a declaration to runs and cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmvkd.studies.commands import make_step, option, train_step
from mmvkd.studies.plan import load_study, make_study
from mmvkd.studies.study import Study, StudyError

STUDENT = 'mmvkd::students/tsm_r18.py'
KD = 'mmvkd::distill/kd_tsm_r50_to_r18.py'
STUDIES = Path(__file__).parents[2] / 'configs' / 'studies'


def study(**changes: Any) -> Study:
    settings = dict(
        name='s',
        out='out',
        data='motions',
        seeds=[0, 1],
        student='student',
        runs=dict(tsm_r50=dict(config='mmvkd::teachers/tsm_r50.py', seed=7)),
        methods=dict(
            student=dict(config=STUDENT), kd=dict(config=KD, needs=['tsm_r50'])
        ),
    )
    return make_study({**settings, **changes})


def test_cells_are_methods_times_seeds_and_a_shared_run_is_there_once() -> None:
    found = study()
    assert [(cell.method, cell.seed) for cell in found.cells] == [
        ('student', 0),
        ('student', 1),
        ('kd', 0),
        ('kd', 1),
    ]
    assert list(found.runs) == [
        'student-seed0',
        'student-seed1',
        'tsm_r50-seed7',
        'kd-seed0',
        'kd-seed1',
    ]
    assert found.chain('kd-seed1') == ['tsm_r50-seed7', 'kd-seed1']
    assert found.teachers == {'': {'tsm_r50-seed7': 'tsm_r50'}}


def test_runs_are_in_the_order_of_the_cells_each_after_what_it_needs() -> None:
    found = study(
        labels={word: dict(options=dict(word=word)) for word in ('few', 'all')}
    )
    assert found.runs_of([]) == [
        'student-few-seed0',
        'student-few-seed1',
        'tsm_r50-few-seed7',
        'kd-few-seed0',
        'kd-few-seed1',
        'student-all-seed0',
        'student-all-seed1',
        'tsm_r50-all-seed7',
        'kd-all-seed0',
        'kd-all-seed1',
    ]
    assert study().runs_of(['kd']) == ['tsm_r50-seed7', 'kd-seed0', 'kd-seed1']


def test_the_folder_of_a_needed_run_is_the_teachers_checkpoint() -> None:
    found = study()
    line = train_step(found, found.runs['kd-seed0']).line()
    assert 'model.teachers.tsm_r50.checkpoint=out/runs/tsm_r50-seed7' in line
    assert line.startswith('MMVKD_DATA=motions OMP_NUM_THREADS=1 python tools/train.py')
    assert '--seed 0' in line


def test_a_store_of_the_teacher_takes_the_place_of_the_teacher() -> None:
    views = {'train_dataloader.sampler.views': 2}
    found = study(
        runs=dict(
            tsm_r50=dict(config='mmvkd::teachers/tsm_r50.py', seed=7),
            store=dict(
                config=KD, caches='tsm_r50', needs=['tsm_r50'], seed=7, options=views
            ),
        ),
        methods=dict(
            student=dict(config=STUDENT),
            kd=dict(config=KD, needs=['tsm_r50', 'store'], options=views),
        ),
    )
    assert found.chain('kd-seed1') == ['tsm_r50-seed7', 'store-seed7', 'kd-seed1']
    assert found.teachers == {'': {'tsm_r50-seed7': 'tsm_r50'}}
    store = make_step(found, found.runs['store-seed7']).line()
    assert 'tools/cache_teacher.py' in store and '--seed' not in store
    for line in (store, train_step(found, found.runs['kd-seed0']).line()):
        for setting in (
            'type=mmvkd.CachedTeacher',
            'store=out/runs/store-seed7/store',
            'checkpoint=out/runs/tsm_r50-seed7',
        ):
            assert f'model.teachers.tsm_r50.{setting}' in line
        assert 'train_dataloader.sampler.views=2' in line


def test_a_method_is_one_line() -> None:
    more = dict(
        student=dict(config=STUDENT), mine=dict(config='my.py', needs=['tsm_r50'])
    )
    assert 'mine-seed1' in study(methods=more).runs


def test_a_chain_goes_through_other_methods_and_options() -> None:
    runs = dict(
        pretext=dict(config='mmvkd::pretext.py', seed=0),
        teacher=dict(config=STUDENT, seed=0, needs=dict(pretext='load_from')),
    )
    methods = dict(
        assistant=dict(config=KD, needs=['teacher']),
        student=dict(
            config=KD, needs=dict(assistant='model.teachers.tsm_r50.checkpoint')
        ),
    )
    found = study(runs=runs, methods=methods)
    assert found.chain('student-seed1') == [
        'pretext-seed0',
        'teacher-seed0',
        'assistant-seed1',
        'student-seed1',
    ]
    assert found.runs['teacher-seed0'].needs == {'load_from': 'pretext-seed0'}


def test_label_settings_change_runs_but_those_that_keep_to_one() -> None:
    tenth = dict(environment=dict(MMVKD_TRAIN_LIST='ten.txt'), options={'a.b': 3})
    runs = dict(tsm_r50=dict(config='mmvkd::teachers/tsm_r50.py', seed=7, labels='all'))
    found = study(labels=dict(all=dict(), tenth=tenth), runs=runs)
    assert found.settings == ['all', 'tenth']
    assert len(found.cells) == 8
    weak = found.runs['kd-tenth-seed0']
    assert weak.environment == dict(MMVKD_DATA='motions', MMVKD_TRAIN_LIST='ten.txt')
    assert weak.options == {'a.b': 3}
    assert found.runs['kd-seed0'].options == {}
    assert weak.needs == found.runs['kd-seed0'].needs


def test_a_word_alone_keeps_its_type() -> None:
    noisy = {'train_dataloader.dataset.noise': '{noise}', 'title': 'of {noise}'}
    found = study(
        labels=dict(clean=dict(noise=0), noisy=dict(noise=0.4)),
        methods=dict(student=dict(config=STUDENT, options=noisy)),
    )
    assert found.runs['student-noisy-seed0'].options == {
        'train_dataloader.dataset.noise': 0.4,
        'title': 'of 0.4',
    }


def test_a_method_may_have_seeds_of_its_own() -> None:
    methods = dict(
        student=dict(config=STUDENT, seeds=[0, 1, 2]),
        kd=dict(config=KD, needs=['tsm_r50'], seeds=[4]),
        other=dict(config=KD, needs=['tsm_r50']),
    )
    cells = study(methods=methods).cells
    seeds = {m: [c.seed for c in cells if c.method == m] for m in methods}
    assert seeds == dict(student=[0, 1, 2], kd=[4], other=[0, 1])


def test_a_method_may_have_cells_in_some_settings_alone() -> None:
    def found(*settings: str) -> Study:
        methods = dict(
            student=dict(config=STUDENT, options=dict(noise='{noise}')),
            kd=dict(config=KD, needs=['tsm_r50'], settings=list(settings)),
        )
        labels = dict(clean=dict(noise=0), noisy=dict(noise=0.4))
        return study(methods=methods, labels=labels, seeds=[0])

    cells = [(cell.method, cell.setting) for cell in found('noisy').cells]
    assert cells == [('student', 'clean'), ('student', 'noisy'), ('kd', 'noisy')]
    with pytest.raises(StudyError, match="setting 'nosy' of 'kd' is not known; near: "):
        found('nosy')


def test_pairs_fill_words_and_share_what_they_share() -> None:
    pairs = dict(
        small=dict(teacher='tsm_r50', student='tsm_r18'),
        other=dict(teacher='tsm_r50', student='tsn_r18'),
    )
    found = study(
        pairs=pairs,
        runs={'{teacher}': dict(config='mmvkd::teachers/{teacher}.py', seed=0)},
        methods=dict(
            student=dict(config='mmvkd::students/{student}.py'),
            kd=dict(
                config='mmvkd::distill/kd_{teacher}_to_{student}.py',
                needs=['{teacher}'],
            ),
        ),
        seeds=[0],
    )
    assert list(found.runs) == [
        'student-small-seed0',
        'tsm_r50-seed0',
        'kd-small-seed0',
        'student-other-seed0',
        'kd-other-seed0',
    ]
    kd = found.runs['kd-other-seed0']
    assert kd.config == 'mmvkd::distill/kd_tsm_r50_to_tsn_r18.py'
    assert kd.needs == {'model.teachers.tsm_r50.checkpoint': 'tsm_r50-seed0'}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(seedz=[1]), "'seedz' is not known; near: seeds"),
        (dict(seeds=3), 'seeds=3, expected a list'),
        (dict(methods={}), 'no `methods`'),
        (dict(methods=dict(a='x.py')), "'a' is 'x.py'; expected dict"),
        (dict(methods=dict(a=dict(config=KD, need=['t']))), "'need' is not known"),
        (dict(runs=dict(a=dict(config=KD, seeds=[1]))), "'seeds' is not .* near: seed"),
        (
            dict(methods=dict(student=dict(config=KD, needs=['tsm_r5']))),
            "'tsm_r5', which is needed, is not known; near: tsm_r50",
        ),
        (dict(student='studnet'), 'near: student'),
        (dict(methods=dict(student=dict(config='{pear}.py'))), 'there are: .*pair'),
        (
            dict(
                runs={}, methods=dict(student=dict(config=STUDENT, needs=['student']))
            ),
            'need each other: student → student',
        ),
        (dict(reversals=[['a', 'b']], classes=['a', 'c']), "'b' of `reversals`"),
    ],
)
def test_a_mistake_is_told_in_a_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        study(**changes)


def test_an_option_that_no_command_line_holds_is_refused() -> None:
    assert option('a', [1, 2.5, 'x']) == '[1,2.5,x]'
    assert option('a', None) == 'None'
    assert option('a', True) == 'True'
    assert option('a', 'my results/best.pth') == 'my results/best.pth'
    with pytest.raises(StudyError, match="option a='1' cannot be written"):
        option('a', '1')


def test_self_supervised_teachers_start_from_their_pretext_runs() -> None:
    found = load_study(str(STUDIES / 'graph_motions.py'))
    chain = found.chain('graph-epochs24-seed1')
    assert len(chain) == 13
    for task in ('sorting', 'registration', 'coherence', 'odd_one_out'):
        names = [f'{task}{part}-seed0' for part in ('_pretext', '', '_store')]
        assert sorted(names, key=chain.index) == names
        line = train_step(found, found.runs[f'{task}-seed0']).line()
        assert f'backbone.init_cfg.checkpoint={found.folder}/runs/{task}_pre' in line
    # students of both schedules have the same teachers
    assert found.settings == ['epochs8', 'epochs24']
    assert found.chain('graph-epochs8-seed1')[:-1] == chain[:-1]
    epochs = [found.runs[f'graph-{s}-seed1'].options for s in found.settings]
    assert [options['train_cfg.max_epochs'] for options in epochs] == [8, 24]
    assert all(len(found.teachers[setting]) == 5 for setting in found.settings)


@pytest.mark.parametrize('edges', ['uniform', 'learned'])
def test_a_random_teacher_takes_the_place_of_a_trained_one(edges: str) -> None:
    found = load_study(str(STUDIES / 'graph_edges.py'))
    named = {cell.method: cell.run for cell in found.cells if cell.seed == 0}
    run, whole = (found.runs[named[m]] for m in (f'random_{edges}', edges))
    gone = 'model.teachers.coherence'
    parts = {f'{gone}.checkpoint', f'{gone}.store'}
    assert set(whole.needs) - set(run.needs) == parts
    changed = {**whole.options, f'{gone}.checkpoint': 'random'}
    changed.pop(f'{gone}.type')
    assert run.options == changed
    assert [v for k, v in run.options.items() if 'edges' in k] == [edges, edges]
    # of two, the one that is not kept is random
    pair = found.runs[f'two_random_{edges}-seed0']
    assert pair.environment['MMVKD_TEACHERS'] == 'registration,odd_one_out'
    assert pair.options['model.teachers.odd_one_out.checkpoint'] == 'random'
    assert set(pair.needs.values()) == {
        'registration-seed0',
        'registration_store-seed0',
    }
    assert pair.options['model.heads.logits_graph.edges'] == edges


def test_pretext_tasks_see_every_clip_and_few_labels_teach_the_classes() -> None:
    found = load_study(str(STUDIES / 'pretext_motions.py'))
    assert found.settings == ['all', 'tenth']
    for method in found.methods:
        all_labels, few = (found.runs[f'{method}{s}-seed0'] for s in ('', '-tenth'))
        assert few.needs == all_labels.needs
        assert few.options['train_dataloader.dataset.labeled'] == 0.1
        epochs = [run.options['train_cfg.max_epochs'] for run in (all_labels, few)]
        assert epochs == [12, 60]
    assert len([name for name in found.runs if 'pretext' in name]) == 4


@pytest.mark.parametrize(
    'file', sorted(STUDIES.glob('[a-z]*.py')), ids=lambda file: file.stem
)
def test_published_studies_name_configs_that_exist(file: Path) -> None:
    from mmvkd.engine.launch import load_config

    found = load_study(str(file))
    assert found.baselines and found.cells
    for name in {run.config for run in found.runs.values()}:
        assert isinstance(load_config(name), Config)
    options = [train_step(found, run).line() for run in found.runs.values()]
    assert len(set(options)) == len(found.runs)


def test_a_study_that_does_not_exist_has_the_names_near_it() -> None:
    with pytest.raises(
        FileNotFoundError, match=r'does not exist; near: .*quickstart\.py'
    ):
        load_study(str(STUDIES / 'quickstrat.py'))
