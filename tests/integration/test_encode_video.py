"""AssetEncodeVideo and its parts through the loops, on both databases: who is encoded, what stays, what is repeated."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from cluster.db.queries import video_parts
from cluster.db.queries.video_parts import EncodingRow, PartRow
from cluster.db.tables.asset import Asset
from cluster.db.tables.video import VideoEncoding, VideoSegment
from cluster.names import JobName, QueueName
from cluster.queue.job import Lease, NewJob, asset_job
from cluster.queue.states import JobState
from cluster.queue.store import Finish, Release
from cluster.settings import read_settings
from cluster.storage.layout import Folder
from cluster.storage.mounts import MARKER
from cluster.system_config import defaults, merge
from tasks.job import Context
from tasks.jobs import encode_video, encode_video_part
from tasks.jobs.encode_video_part import PartEncoded
from tasks.jobs.reconcile import reconcile_asked
from tasks.media import video_parts as parts_of_media
from tasks.media.video_parts import NotInParts
from tasks.missing import under_way
from tasks.video_encoding import part_job
from tests.clips import H264, HEVC_OPEN_GOP, MATROSKA, VFR
from tests.inline_stack import Stack, inline_stack, names_seen
from tests.integration.media.streams import complaints, packets, streams

ENCODE, PART, JOIN = JobName.ASSET_ENCODE_VIDEO, JobName.ASSET_ENCODE_VIDEO_PART, JobName.ASSET_JOIN_VIDEO_PARTS
QUEUE_ALL = JobName.ASSET_ENCODE_VIDEO_QUEUE_ALL
SECONDS = 4


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def cutting(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """A server that cuts every video of more than two seconds."""
    with inline_stack(database_url, tmp_path, HELIOSTAT_VIDEO_PARTS_FROM_S="2") as stack:
        yield stack


def video(stack: Stack, clip: Path, **columns: Any) -> str:
    return stack.upload(clip.name, clip, type="VIDEO", **columns)


def encoded(stack: Stack, asset_id: str) -> Path | None:
    return stack.files(asset_id).get("encoded_video")


def on_disk(stack: Stack) -> set[Path]:
    folder = stack.media / "encoded-video"
    return {path for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else set()


def waiting(stack: Stack) -> Counter[str]:
    """What waits in the queue, by name."""
    with stack.store.transaction(reading=True) as tx:
        listed = stack.store.jobs(tx, QueueName.VIDEO_CONVERSION, [JobState.WAITING], 100)
    return Counter(job.name.value for job in listed)


def ran(stack: Stack) -> Counter[JobName]:
    return Counter(name for name, _ in stack.seen)


def test_an_uploaded_video_that_plays_nowhere_is_encoded(stack: Stack, clips: Path) -> None:
    asset_id = video(stack, HEVC_OPEN_GOP.make(clips, SECONDS))
    stack.drain()

    path = encoded(stack, asset_id)
    assert stack.failed() == {}
    assert path is not None
    assert path == stack.media / "encoded-video" / stack.owner / asset_id[:2] / asset_id[2:4] / f"{asset_id}.mp4"
    picture, sound = streams(path)
    assert (picture["codec_name"], sound["codec_name"]) == ("h264", "aac")
    assert complaints(path) == ""
    assert on_disk(stack) == {path}
    assert PART not in names_seen(stack, asset_id), "shorter than a minute"


def test_a_video_that_plays_as_it_is_is_left_alone(stack: Stack, clips: Path) -> None:
    asset_id = video(stack, H264.make(clips, SECONDS))
    stack.drain()
    assert names_seen(stack, asset_id).count(ENCODE) == 1
    assert encoded(stack, asset_id) is None
    assert on_disk(stack) == set()


def test_all_and_missing(stack: Stack, clips: Path) -> None:
    plays, hevc, hidden = (
        video(stack, H264.make(clips, SECONDS)),
        video(stack, HEVC_OPEN_GOP.make(clips, SECONDS)),
        video(stack, HEVC_OPEN_GOP.make(clips, SECONDS), visibility="hidden"),
    )
    stack.drain()
    everyone = {plays, hevc, hidden}

    def asked(**payload: Any) -> set[str | None]:
        stack.seen.clear()
        stack.enqueue(NewJob(QUEUE_ALL, payload))
        stack.drain()
        return {asset_id for name, asset_id in stack.seen if name is ENCODE}

    assert {encoded(stack, hevc), encoded(stack, hidden)} == on_disk(stack)
    assert asked(force=False) == asked() == set(), "nothing lacks, however often it is asked"
    assert asked(force=True) == everyone
    with stack.database.session() as session:
        for asset_id in (hevc, hidden):
            video_parts.replace_encoded_file(session, asset_id, None, stack.clock.now())
    assert asked(force=False) == {hevc}, "hidden ones are for All alone"
    stack.change(hevc, deleted_at=stack.clock.now())
    assert asked(force=True) == everyone - {hevc}


def test_what_is_not_needed_any_more_is_deleted(stack: Stack, clips: Path) -> None:
    asset_id = video(stack, HEVC_OPEN_GOP.make(clips, SECONDS))
    stack.drain()
    assert len(on_disk(stack)) == 1
    stack.set_config(ffmpeg={"acceptedVideoCodecs": ["h264", "hevc"]})
    stack.enqueue(asset_job(ENCODE, asset_id))
    stack.drain()
    assert encoded(stack, asset_id) is None
    assert on_disk(stack) == set()


def test_a_video_of_which_nothing_is_known_fails_by_name(stack: Stack, clips: Path) -> None:
    broken = stack.upload("broken.mp4", b"no video", type="VIDEO")
    stack.drain()
    stack.enqueue(asset_job(ENCODE, broken))
    stack.drain()
    assert "broken.mp4: no video stream is known" in stack.failed()[broken].error


def test_an_asset_that_is_gone_is_skipped(stack: Stack) -> None:
    stack.enqueue(asset_job(ENCODE, "gone"))
    stack.drain()
    assert stack.failed() == {}


# In parts


def test_a_long_video_is_encoded_in_parts_and_joined(cutting: Stack, clips: Path) -> None:
    source = VFR.make(clips, SECONDS)
    cutting.set_config(ffmpeg={"transcode": "all"})
    asset_id = video(cutting, source)
    cutting.drain()

    path = encoded(cutting, asset_id)
    assert cutting.failed() == {}
    assert path is not None
    seen = Counter(names_seen(cutting, asset_id))
    assert (seen[ENCODE], seen[JOIN]) == (1, 1)
    assert seen[PART] >= 3
    assert sorted(one.pts for one in packets(path, "v")) == sorted(one.pts for one in packets(source, "v"))
    assert {one["codec_name"] for one in streams(path)} == {"h264", "aac"}
    assert complaints(path) == ""
    assert on_disk(cutting) == {path}, "the parts are gone"
    with cutting.database.reader() as session:
        assert session.scalars(select(VideoEncoding)).all() == []
        assert session.scalars(select(VideoSegment)).all() == []


def interrupted(stack: Stack, clips: Path) -> str:
    """A video of which all parts but one are done, and that one's job is lost, as after "empty"."""
    stack.set_config(ffmpeg={"transcode": "all"})
    asset_id = video(stack, H264.make(clips, SECONDS))
    until_parts_wait(stack)
    with stack.store.transaction() as tx:
        part = next(
            job for job in stack.store.jobs(tx, QueueName.VIDEO_CONVERSION, [JobState.WAITING], 100) if job.name is PART
        )
        leases = stack.store.lease(tx, QueueName.VIDEO_CONVERSION, 100, 30, "test", "1")
        stack.store.settle(tx, [Finish(lease) for lease in leases if lease.job_id == part.job_id])
        stack.store.settle(tx, [Release(lease) for lease in leases if lease.job_id != part.job_id])
    stack.drain()
    assert encoded(stack, asset_id) is None
    stack.seen.clear()
    return asset_id


def until_parts_wait(stack: Stack) -> None:
    for _ in range(200):
        if waiting(stack)[PART]:
            return
        stack.dispatcher.tick()
        stack.settle_one(1)
    raise AssertionError("no part was enqueued")


def encoding_of(stack: Stack, asset_id: str) -> EncodingRow:
    with stack.database.reader() as session:
        return video_parts.encodings(session, [asset_id])[asset_id]


def test_only_the_part_that_is_missing_is_encoded_again(cutting: Stack, clips: Path) -> None:
    asset_id = interrupted(cutting, clips)
    before = {path: path.stat().st_mtime_ns for path in on_disk(cutting)}
    assert len(encoding_of(cutting, asset_id).missing) == 1
    assert before

    cutting.enqueue(NewJob(QUEUE_ALL))
    cutting.drain()

    assert ran(cutting)[PART] == 1
    path = encoded(cutting, asset_id)
    assert path is not None
    assert complaints(path) == ""
    assert on_disk(cutting) == {path}


def test_parts_that_were_made_with_other_settings_are_no_good(cutting: Stack, clips: Path) -> None:
    asset_id = interrupted(cutting, clips)
    parts = len(encoding_of(cutting, asset_id).parts)
    old = on_disk(cutting)
    cutting.set_config(ffmpeg={"transcode": "all", "crf": 30})
    cutting.enqueue(asset_job(ENCODE, asset_id))
    cutting.drain()

    assert ran(cutting)[PART] == parts
    path = encoded(cutting, asset_id)
    assert on_disk(cutting) == {path}
    assert path not in old


def test_a_part_of_an_encode_that_was_given_up_leaves_nothing(cutting: Stack, clips: Path) -> None:
    asset_id = interrupted(cutting, clips)
    encoding = encoding_of(cutting, asset_id)
    done = next(part for part in encoding.parts if part.path)
    late = cutting.media / "encoded-video" / "late.mp4"
    late.write_bytes(b"late")
    lease_of_it = lease_for(cutting, asset_id, encoding, done)
    with cutting.database.session() as session:
        session.execute(delete(VideoEncoding))
    with cutting.database.session() as session:
        encode_video_part.save(context_of(cutting, session), lease_of_it, PartEncoded(str(late), 4))
    cutting.drain()
    assert not late.exists()


def lease_for(stack: Stack, asset_id: str, encoding: EncodingRow, part: PartRow) -> Lease:
    stack.enqueue(part_job(asset_id, encoding.fingerprint, part))
    with stack.store.transaction() as tx:
        (lease,) = stack.store.lease(tx, QueueName.VIDEO_CONVERSION, 1, 30, "test", "1")
        stack.store.settle(tx, [Release(lease)])
    return lease


def context_of(stack: Stack, session: Any) -> Context:
    config = merge(defaults(read_settings({"HOME": "/nowhere"})), stack.stored_config)
    return Context(session, stack.store, None, config, None, None, stack.clock.now())  # type: ignore[arg-type]


def mark_folders(media: Path) -> None:
    """As a mounted media folder is marked."""
    for folder in Folder:
        (media / folder.value).mkdir(parents=True, exist_ok=True)
        (media / folder.value / MARKER).touch()


def test_where_it_is_not_sure_it_encodes_whole(cutting: Stack, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ffmpeg gives for one part is made to differ from its source."""
    compare = parts_of_media._compare
    refused: list[Path] = []

    def differ_once(made: Path, expected_s: Any) -> None:
        if not refused:
            refused.append(made)
            raise NotInParts("a frame too few")
        compare(made, expected_s)

    monkeypatch.setattr(parts_of_media, "_compare", differ_once)
    asset_id = video(cutting, HEVC_OPEN_GOP.make(clips, SECONDS))
    cutting.drain()

    path = encoded(cutting, asset_id)
    assert refused
    assert path is not None
    assert JOIN not in names_seen(cutting, asset_id)
    assert names_seen(cutting, asset_id).count(ENCODE) == 2
    assert on_disk(cutting) == {path}
    assert complaints(path) == ""


def test_a_part_whose_file_is_gone_is_no_loss(cutting: Stack, clips: Path) -> None:
    asset_id = interrupted(cutting, clips)
    for part in on_disk(cutting):
        part.unlink()
    cutting.enqueue(asset_job(ENCODE, asset_id))
    cutting.drain()
    path = encoded(cutting, asset_id)
    assert path is not None
    assert complaints(path) == ""


def test_an_asset_that_is_deleted_meanwhile_leaves_no_file(cutting: Stack, clips: Path) -> None:
    cutting.set_config(ffmpeg={"transcode": "all"})
    asset_id = video(cutting, MATROSKA.make(clips, SECONDS))
    until_parts_wait(cutting)
    with cutting.database.session() as session:
        session.execute(delete(Asset).where(Asset.id == asset_id))
    cutting.drain()
    assert cutting.failed() == {}
    assert on_disk(cutting) == set()


def test_the_reconciler_brings_back_what_is_lost_once(stack: Stack, clips: Path) -> None:
    asset_id = video(stack, HEVC_OPEN_GOP.make(clips, SECONDS))
    stack.drain()
    path = encoded(stack, asset_id)
    assert path is not None
    mark_folders(stack.media)
    path.unlink()
    for expected in ({asset_id}, set()):
        stack.seen.clear()
        stack.enqueue(reconcile_asked())
        stack.drain()
        assert {one for name, one in stack.seen if name is ENCODE} == expected
    assert complaints(path) == ""


def test_missing_leaves_alone_what_is_under_way_in_parts(cutting: Stack, clips: Path) -> None:
    cutting.set_config(ffmpeg={"transcode": "all"})
    asset_id = video(cutting, H264.make(clips, SECONDS))
    until_parts_wait(cutting)
    with cutting.store.transaction() as tx:
        assert encode_video.MISSING.lacking(context_of(cutting, tx), [asset_id]) == {asset_id}
        assert under_way(context_of(cutting, tx), ENCODE, [asset_id]) == {asset_id}
    cutting.drain()
    assert encoded(cutting, asset_id) is not None
