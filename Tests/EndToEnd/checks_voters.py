"""Clusters whose peers run their etcd themselves: who votes, who may join, and what outlives which death."""
import base64
import collections
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from checks_lifecycle import expect_refusal
from checks_space import fill_disk, small_disk
from client import DONE, LOCAL, PARTIAL, REFUSED, Client
from cluster import MIB, VotingCluster, VotingPeer, copies, dataset, expect_in_time, make_secret, members
from daemon import CheckFailed, eventually, expect
from forms import random_bytes
from wire import WireError

# By the number of peers.
VOTERS = {1: 1, 2: 1, 3: 3, 4: 3, 5: 5}


def three_peers_vote_and_a_fourth_stores_only(bench):
    files = dataset('voters', 9 * MIB)
    with VotingCluster(bench, peers=1) as cluster:
        root = cluster.add(files)
        cluster.expect_voters(1)
        for number in (1, 2, 3):
            cluster.peers.append(cluster.make_peer('p%d' % number))
            cluster.start()
            cluster.expect_reads(root, files)
            if number == 1:
                expect(len(cluster.voters()) == 1, 'two peers vote: one that dies would stop both')
        voters = cluster.expect_voters(3)
        expect(set(voters) < set(cluster.ids), 'those who vote are %s', voters)
        two = cluster.add(dataset('two', 9 * MIB), **copies(2))
        cluster.expect_reads(two, dataset('two', 9 * MIB))
        cluster.expect_agreement()
        # All of them at once, as after a power cut.
        for peer in cluster.peers:
            peer.kill()
        expect(not any(peer.etcd_pids for peer in cluster.peers), 'a member outlived its daemon')
        cluster.start()
        cluster.expect_voters(3)
        cluster.expect_reads(root, files)
        cluster.expect_agreement()


def the_death_of_the_leading_machine_stops_writing_only_for_a_moment(bench):
    pauses = []
    with VotingCluster(bench) as cluster:
        cluster.expect_voters(3)
        roots = []
        for number in range(3):
            leader = cluster.leader
            leader.kill()
            began, through = time.monotonic(), cluster.peers.index(cluster.running[0])
            files = {'small': random_bytes('leader %d' % number, 1000)}
            while True:
                try:
                    roots.append((cluster.add(files, through=through), files))
                    break
                except CheckFailed:
                    expect(time.monotonic() - began < 30, 'nothing is taken 30 s after the leader died')
            pauses.append(time.monotonic() - began)
            cluster.start()
            cluster.expect_voters(3)
        for root, files in roots:
            cluster.expect_reads(root, files)
        cluster.expect_agreement()
        pauses.sort()
        expect(pauses[1] <= 5, 'the median pause is %.1f s', pauses[1])
        bench.note = 'pauses of %s s' % ', '.join('%.1f' % pause for pause in pauses)


def a_kill_at_any_moment_of_joining_or_leaving_ends_well(bench):
    """In each round a peer joins or leaves, and one is killed meanwhile and starts again; then all must agree on who is
    a member and who votes."""
    rounds = max(5, bench.options.kills // 6)
    # A few rounds stay where the only voter gets two others, and is alone again.
    walk = [1, 2, 3, 4, 5, 4, 3, 2] if rounds >= 8 else [1, 2, 3, 2]
    first, kills = bench.random.randrange(len(walk)), collections.Counter()
    with VotingCluster(bench, peers=walk[first]) as cluster:
        cluster.gives_up_copies = True
        cluster.expect_voters(VOTERS[walk[first]])
        for number in range(rounds):
            before, after = (walk[(first + number + step) % len(walk)] for step in (0, 1))
            # In one walk who joins or leaves is killed at every other step, in the next one at those between.
            is_mover = (number + number // len(walk)) % 2 == 0
            if after > before:
                victim = join_with_a_kill(bench, cluster, 'n%d' % number, is_mover)
            else:
                victim = leave_with_a_kill(bench, cluster, is_mover)
            kills['%s %d->%d' % ('joining' if after > before else 'leaving', before, after), victim] += 1
            expect(len(cluster.peers) == after, 'there are %d peers, not %d', len(cluster.peers), after)
            cluster.expect_up()
            cluster.expect_voters(VOTERS[after])
            expect_in_time(lambda: disagreement_of_members(cluster))
            small = {'small': random_bytes('moved %d' % number, 1000)}
            cluster.add(small, through=bench.random.randrange(after))
            cluster.expect_agreement()
        expect_works_from_the_beginning(cluster)
    bench.note = '%d kills from %d peers on; %s' % (kills.total(), walk[first], told_by_situation(kills))


def join_with_a_kill(bench, cluster, name, is_newcomer):
    """What was killed."""
    newcomer, other = cluster.make_peer(name), bench.random.choice(cluster.peers)
    kinds = {newcomer: 'newcomer', other: kind_of(other)}
    cluster.peers.append(newcomer)
    moves_votes = VOTERS[len(cluster.peers)] > VOTERS[len(cluster.peers) - 1]
    newcomer.spawn()
    time.sleep(bench.random.uniform(0, 12 if moves_votes else 0.5))
    victim = kill_one([newcomer if is_newcomer else other])
    victim.spawn()
    for peer in (victim, newcomer):
        peer.wait_until_listening()
    return kinds[victim]


def leave_with_a_kill(bench, cluster, is_leaver):
    """What was killed: another one than who leaves, if that is gone before."""
    leaving, other, *more = bench.random.sample(cluster.peers, len(cluster.peers))
    kinds = {leaving: 'leaver', other: kind_of(other)}
    asked = more[0] if more else other
    # Who has no vote is gone at once; who has one after two seconds or more, the only voter after eight.
    seconds = 0.1 if not leaving.etcd_pids else 2 if is_leaver and more else 8
    command = Client(bench, asked.api).start('peers', 'rm', leaving.id, '--accept-loss')
    time.sleep(bench.random.uniform(0, seconds))
    victim = kill_one([leaving, other] if is_leaver else [other])
    victim.spawn()
    # Who is asked may have been killed, or cut off from the only voter.
    command.end((DONE, LOCAL, REFUSED))
    for peer in (other, asked):
        peer.wait_until_listening()
    if victim is leaving and is_member_again(cluster, leaving):
        kinds[leaving] = 'leaver that came back'
    remove(bench, cluster, leaving, asked)
    return kinds[victim]


def kind_of(peer):
    return 'voter' if peer.etcd_pids else 'other'


def kill_one(peers):
    """The first that had not ended by itself."""
    for peer in peers:
        peer.kill()
        if peer.process.returncode == -signal.SIGKILL:
            return peer
    raise CheckFailed('%s ended by itself:\n%s' % (peer.id, peer.log_text))


def is_member_again(cluster, leaving):
    """Whether a peer that was killed as it left has joined again, rather than ended; if so, all must list it."""
    def find():
        if leaving.process.poll() is not None:
            return None
        try:
            lists = [peer.states() if peer.api else None for peer in cluster.running]
        except WireError as error:
            return 'one does not answer: %s' % error
        wanted = dict.fromkeys(cluster.ids, 'up')
        return None if all(states == wanted for states in lists) else 'the peers list %s' % lists
    expect_in_time(find)
    return leaving.process.poll() is None


def remove(bench, cluster, leaving, asked):
    """Has a peer leave that may be about to do so, or has joined again."""
    def is_gone():
        if leaving.process.poll() is None and leaving.id in asked.states():
            Client(bench, asked.api).run('peers', 'rm', leaving.id, '--accept-loss', status=(DONE, REFUSED))
        return leaving.process.poll() is not None
    eventually(is_gone, 'who was removed does not end')
    expect_gone(leaving)
    shutil.rmtree(leaving.directory)
    cluster.peers.remove(leaving)


def disagreement_of_members(cluster):
    """What keeps those that run a member of etcd from listing just these; None when they do."""
    lists = {
        peer.id: sorted(member.get('name', '') for member in members(peer))
        for peer in cluster.running if peer.etcd_pids}
    return None if all(names == sorted(lists) for names in lists.values()) else 'the members list %s' % lists


def expect_works_from_the_beginning(cluster):
    """Whoever left took copies along; what comes when all of that is gone must be whole."""
    for root in cluster.peers[0].pins():
        cluster.peers[0].unpin(root)
    cluster.expect_empty()
    files = dataset('after the kills', 9 * MIB)
    root = cluster.add(files, **copies(min(2, len(cluster.peers))))
    cluster.expect_reads(root, files)
    cluster.expect_agreement()
    cluster.expect_sound()


def told_by_situation(kills):
    """`kills`: {(situation, what was killed): number}"""
    told = collections.defaultdict(list)
    for (situation, victim), number in sorted(kills.items()):
        told[situation].append((number, victim))
    return ', '.join('%s: %d (%s)' % (
        situation, sum(number for number, _ in victims), ', '.join('%d %s' % one for one in victims))
        for situation, victims in told.items())


def voters_removed_in_a_row_leave_the_others_able_to_write(bench):
    """Each goes only when those that stay can agree without it."""
    with VotingCluster(bench) as cluster:
        cluster.expect_voters(3)
        cluster.gives_up_copies = True
        leave(bench, cluster, cluster.peers[1:])
        cluster.add({'small': b'one of three is left'})
        cluster.expect_voters(1)


def the_only_voter_hands_over_before_it_leaves(bench):
    with VotingCluster(bench, peers=2) as cluster:
        cluster.gives_up_copies = True
        only, = cluster.expect_voters(1)
        leave(bench, cluster, [peer for peer in cluster.peers if peer.id == only])
        cluster.add({'small': b'the only voter has left'})
        voter, = cluster.expect_voters(1)
        expect(voter == cluster.peers[0].id, 'the one who votes is %s', voter)


def a_voter_removed_while_another_is_dead_votes_on_while_it_is_needed(bench):
    with VotingCluster(bench) as cluster:
        cluster.expect_voters(3)
        cluster.gives_up_copies = True
        stays, dead, leaving = cluster.peers
        dead.kill()
        Client(bench, stays.api).run('peers', 'rm', leaving.id, '--accept-loss')
        expect_in_time(lambda: None if 'votes on' in leaving.log_text else 'it does not say that it votes on')
        answer = leaving.api.request('GET', '/readyz')
        expect(answer.status == 503 and b'removed' in answer.body, 'the one that leaves answers %s', answer)
        cluster.add({'small': b'one is dead, one is leaving'})
        dead.spawn()
        dead.wait_until_listening()
        expect_gone(leaving)
        cluster.peers.remove(leaving)
        cluster.add({'small': b'one has left'})
        cluster.expect_agreement()


def leave(bench, cluster, peers):
    """Removes peers one right after the other."""
    stays = next(peer for peer in cluster.peers if peer not in peers)
    for peer in peers:
        Client(bench, stays.api).run('peers', 'rm', peer.id, '--accept-loss')
    for peer in peers:
        expect_gone(peer)
        cluster.peers.remove(peer)


def expect_gone(peer):
    peer.wait()
    peer.is_meant_to_run = False


def a_voter_that_lost_its_etcd_joins_anew(bench):
    with VotingCluster(bench) as cluster:
        cluster.expect_voters(3)
        victim = next(peer for peer in cluster.peers if peer is not cluster.leader)
        before = {member['ID'] for member in members(cluster.leader)}
        victim.kill()
        shutil.rmtree(victim.directory / 'etcd')
        cluster.start()
        cluster.expect_voters(3)
        after = {member['ID'] for member in members(cluster.leader)}
        expect(len(before & after) == 2, 'a member came back without its data under its former ID')
        cluster.expect_agreement()


def an_etcd_that_dies_is_started_again(bench):
    with VotingCluster(bench, peers=1) as cluster:
        pid, = cluster.peers[0].etcd_pids
        cluster.peers[0].member.kill()
        expect_in_time(lambda: None if cluster.peers[0].etcd_pids not in ([], [pid]) else 'etcd is not there')
        # The daemon listened when it started this one: with what it listens on, nobody could after its death.
        pid, = cluster.peers[0].etcd_pids
        shared = sockets(pid) & sockets(cluster.peers[0].process.pid)
        expect(not shared, 'etcd has sockets of the daemon: %s', sorted(shared))
        cluster.add({'small': b'after the death of etcd'})


def sockets(pid):
    """What the process has open of the network."""
    found = set()
    for path in pathlib.Path('/proc/%d/fd' % pid).iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(path))
    return {name for name in found if name.startswith('socket:')}


def an_etcd_that_has_used_up_its_quota_is_cleaned_and_written_again(bench):
    files = dataset('quota', 5 * MIB)
    with VotingCluster(bench, environment={'INGESTD_CLUSTER_ETCD_QUOTA': '16MiB'}) as cluster:
        cluster.expect_voters(3)
        root = cluster.add(files)
        member = cluster.peers[0].member.api

        def put(byte_count):
            """Writes over the same key, so that all but the last one is for nothing."""
            value = base64.b64encode(random_bytes('filler', byte_count)).decode()
            return member.request('POST', '/v3/kv/put', body=json.dumps({'key': 'Zg==', 'value': value}).encode())

        def file_byte_count():
            return int(member.request('POST', '/v3/maintenance/status', body=b'{}').json['dbSize'])
        refused = next((answer for answer in (put(1 << 19) for _ in range(100)) if answer.status != 200), None)
        expect(refused and b'space' in refused.body, 'the quota was not used up: %s', refused)
        full, began = file_byte_count(), time.monotonic()

        def is_taken():
            try:
                return cluster.add({'small': b'after the quota'}, through=1)
            except CheckFailed:
                return None
        expect(eventually(is_taken, 'nothing can be written'), 'no root')
        bench.note = 'written again after %.1f s' % (time.monotonic() - began)
        expect(file_byte_count() < full / 2, 'the file has %d bytes, of %d before', file_byte_count(), full)
        cluster.expect_reads(root, files)
        cluster.expect_agreement()


def a_full_disk_gets_back_what_was_kept_for_etcd(bench):
    files = dataset('ballast', 5 * MIB)
    with small_disk(bench, 900 * MIB) as disk, VotingCluster(bench, peers=0) as cluster:
        peer = cluster.make_peer('p0', directory=disk / 'p0')
        cluster.peers.append(peer)
        cluster.start()
        ballast, filler = peer.directory / 'etcd' / 'ballast', disk / 'filler'
        root = cluster.add(files)
        eventually(ballast.exists, 'nothing is kept for etcd')
        fill_disk(filler, 8 * MIB)
        eventually(lambda: not ballast.exists(), 'what was kept for etcd is still kept')
        expect('the disk is full' in peer.log_text, 'nobody was told')
        # With what was kept, etcd goes on, and what takes up space can be removed.
        cluster.expect_reads(root, files)
        peer.unpin(root)
        eventually(lambda: not peer.names('shards'), 'removing does not free the disk')
        filler.unlink()
        cluster.add(files)
        eventually(ballast.exists, 'nothing is kept for etcd any more')
        cluster.expect_agreement()


def who_may_not_join_is_told_why(bench):
    with VotingCluster(bench, peers=1) as cluster:
        stranger = cluster.make_peer('stranger', secret_file=make_secret(cluster.directory / 'other'))
        status, words = stranger.command('init', *stranger._membership())
        expect(status != 0 and 'same secret' in words, 'a wrong secret: %d, %s', status, words)
        expect(not stranger.directory.exists(), 'a peer that may not join left %s', stranger.names('.'))
        words = cluster.make_peer('nowhere')._membership()
        words[1] = '127.0.0.1:1'
        status, words = stranger.command('init', *words)
        expect(status != 0 and '127.0.0.1:1' in words, 'no peer there: %d, %s', status, words)


def a_stranger_gets_an_alert_and_no_byte_from_any_port_of_a_cluster(bench):
    """With programs that strangers have. A certificate of another cluster is as good as none."""
    with VotingCluster(bench, peers=1) as cluster:
        peer = cluster.peers[0]
        other = VotingPeer(
            bench.options.daemon, bench.directory / 'other', [],
            lambda: ['--cluster', '--secret-file', str(make_secret(bench.directory / 'another secret'))])
        bench._daemons.append(other)
        try:
            other.start()
            eventually(lambda: other.etcd_pids, 'the other cluster does not start')
            folder = other.directory / 'etcd'
            foreign = ['-cert', str(folder / 'cert.pem'), '-key', str(folder / 'key.pem')]
            ports = {
                'peers': peer.environment['INGESTD_CLUSTER_LISTEN'],
                'clients of etcd': peer.environment['INGESTD_CLUSTER_ETCD_CLIENT_LISTEN'],
                'members of etcd': peer.environment['INGESTD_CLUSTER_ETCD_PEER_LISTEN']}
            for whose, address in ports.items():
                for credentials in ([], foreign):
                    alert, answer = refusal(['openssl', 's_client', '-quiet', '-connect', address, *credentials])
                    expect(not answer, 'the port for %s answers a stranger: %r', whose, answer)
                    expect(b'SSL alert number' in alert, 'the port for %s ends without an alert: %r', whose, alert)
                identity = ['--cert', str(folder / 'cert.pem'), '--key', str(folder / 'key.pem')]
                for scheme, credentials in (('http', []), ('https', []), ('https', identity)):
                    url = '%s://%s/version' % (scheme, address)
                    words, answer = refusal([
                        'curl', '--silent', '--show-error', '--insecure', '--max-time', '10', *credentials, url])
                    expect(words.startswith(b'curl: ') and not answer, '%s is answered: %r', url, answer)
        finally:
            if other.process:
                other.kill()


def refusal(command):
    """What a program that is refused says, and what it got."""
    # Whoever is refused with a request under way may lose the alert, so openssl sends none.
    try:
        done = subprocess.run(command, input=b'', capture_output=True, timeout=20)
    except subprocess.TimeoutExpired:
        raise CheckFailed('it is not refused: %s' % ' '.join(command)) from None
    return done.stderr, done.stdout


def a_cluster_without_quorum_is_recovered_on_one_peer(bench):
    files = dataset('recovered', 9 * MIB)
    with VotingCluster(bench) as cluster:
        root = cluster.add(files, **copies(3))
        cluster.expect_voters(3)
        cluster.expect_agreement()
        # The last one to get a vote must know of it, though nothing was added since.
        given = sorted(line for peer in cluster.peers for line in peer.log_text.splitlines() if 'step=give' in line)
        survivor, = (peer for peer in cluster.peers if peer.id in given[-1])
        follower, lost = (peer for peer in cluster.peers if peer is not survivor)
        for peer in cluster.peers:
            peer.kill()
        status, words = survivor.command('recover', '--force-new-cluster')
        expect(status == 0, 'it is not recovered: %s', words)
        expect_recovery(cluster, survivor, follower, [lost], root, files)


def a_cluster_without_voters_is_recovered_from_the_state_of_a_peer_that_had_no_vote(bench):
    files = dataset('recovered', 9 * MIB)
    with VotingCluster(bench, peers=4) as cluster:
        root = cluster.add(files, **copies(4))
        cluster.expect_voters(3)
        for number in range(20):
            cluster.add({'small': b'%d' % number}, **copies(4))
        cluster.expect_agreement()
        survivor, = (peer for peer in cluster.peers if not peer.etcd_pids)
        follower, *lost = (peer for peer in cluster.peers if peer is not survivor)
        applied = int(survivor.api.get_json('/state/digest')['applied_index'])
        for peer in cluster.peers:
            peer.kill()
        status, words = survivor.command('recover', '--force-new-cluster')
        expect(status != 0 and '--from-state' in words, 'a peer without a vote recovers: %s', words)
        status, words = survivor.command('recover', '--force-new-cluster', '--from-state')
        expect(status == 0, 'it is not recovered: %s', words)
        expect_recovery(cluster, survivor, follower, lost, root, files)
        later = int(survivor.api.get_json('/state/digest')['applied_index'])
        expect(later > applied, 'it goes on at %d, and was at %d', later, applied)
        # The same on a peer with a vote: its etcd's data may be damaged.
        survivor.kill()
        follower.kill()
        status, words = survivor.command('recover', '--force-new-cluster', '--from-state')
        kept = list((survivor.directory / 'etcd').glob('data.former-*'))
        expect(status == 0 and len(kept) == 1, 'it is not recovered: %s; %s is kept', words, kept)
        expect_recovery(cluster, survivor, follower, [], root, files)


def expect_recovery(cluster, survivor, follower, lost, root, files):
    """The survivor, recovered, goes on, and the follower after it; those lost are removed."""
    cluster.peers = [survivor, follower]
    survivor.start()
    if lost:
        # As if it had last looked when another one alone had a vote: it must ask around.
        path = follower.directory / 'cluster.json'
        known = json.loads(path.read_text())
        known['endpoints'] = ['https://' + lost[0].environment['INGESTD_CLUSTER_ETCD_CLIENT_LISTEN']]
        path.write_text(json.dumps(known))
    # Who has the former life's state is refused by name, and told what to do.
    follower.spawn()
    status = follower.wait()
    expect(status != 0 and 'recover --join' in follower.log_text, '%s: %s', status, follower.log_text)
    status, words = follower.command('recover', '--join', survivor.address)
    expect(status == 0, 'it does not follow: %s', words)
    follower.start()
    for peer in lost:
        Client(cluster.bench, survivor.api).run('peers', 'rm', peer.id, '--accept-loss')
    cluster.expect_up()
    cluster.expect_reads(root, files)
    cluster.add({'small': b'after the recovery'})
    cluster.expect_agreement()


def a_copy_of_a_voters_directory_never_votes(bench):
    with VotingCluster(bench) as cluster:
        cluster.expect_voters(3)
        original, directory = cluster.peers[1], cluster.directory / 'copied'
        original.stop()
        shutil.copytree(original.directory, directory)
        cluster.start()
        copy = cluster.make_peer('copy', directory=directory)
        former = (directory / 'etcd' / 'log').read_bytes()
        expect_refusal(copy, 'identity')
        copy.kill()
        expect((directory / 'etcd' / 'log').read_bytes() == former, 'the etcd of the copy was started')
        # One that was killed and comes back at once is not taken for a copy of itself.
        original.kill()
        cluster.start()
        expect_in_time(lambda: None if original.etcd_pids else 'its etcd does not start')
        cluster.expect_voters(3)
        cluster.expect_agreement()


def decisions_are_explained_again_and_planned_ahead(bench):
    """`why --replay` decides on the state of then; a plan decides on the state of now, and an upload does the same."""
    files = dataset('explained', 13 * MIB)
    with VotingCluster(bench, arguments=['--capacity', str(100 * MIB)]) as cluster:
        cluster.expect_voters(3)
        client = Client(bench, cluster.peers[1].api)
        root = cluster.add(files, **copies(2))
        # What is decided later must not change what is told of then.
        cluster.add(dataset('later', 5 * MIB))
        for shard in cluster.allocations():
            client.run('shards', 'why', shard, '--replay')
            why = cluster.peers[1].api.get_json('/shards/%s/why?replay=true' % shard)
            expect(why['replayed_equally'] is True, 'shard %s is decided otherwise: %s', shard, why)
            chosen = {verdict['id'] for verdict in why['verdicts'] if verdict['chosen']}
            expect(chosen == set(why['chosen']), 'the verdicts name %s, the decision %s', chosen, why['chosen'])
        answer = cluster.peers[2].api.request(
            'POST', '/plans?replication-min=2&replication-max=2', body=json.dumps({'file_bytes': [5 * MIB] * 4}).encode())
        planned = answer.json['shards']
        expect(len(planned) == 4 and all(len(set(peers)) == 2 for peers in planned), 'the plan is %s', planned)
        answer = cluster.peers[2].api.request('POST', '/plans', body=json.dumps({'file_bytes': [101 * MIB]}).encode())
        expect(answer.status == 507 and 'room' in answer.json['message'], 'a plan that cannot be: %s', answer)
        answer = cluster.peers[2].api.request('POST', '/plans', body=b'{"file_bytes": [0]}')
        expect(answer.status == 400, 'a shard without bytes: %s', answer)
        client.run('verify', '--all')
        before = cluster.allocations()
        single = cluster.add({'one copy': random_bytes('one copy', 1000)}, **copies(1))
        (holder,), = [peers for shard, peers in cluster.allocations().items() if shard not in before]
        _, error = client.run('peers', 'safe-to-stop', holder, status=PARTIAL)
        expect('not safe' in error, 'stopping the last holder is called safe: %s', error)
        cluster.peers[0].unpin(single)
        client.run('peers', 'safe-to-stop', holder)
        victim = next(peer for peer in cluster.peers if peer is not cluster.peers[1] and peer.id != holder)
        victim.kill()
        client.run('peers', 'safe-to-stop', holder, status=PARTIAL)
        cluster.start()
        cluster.expect_reads(root, files)


CHECKS = [
    decisions_are_explained_again_and_planned_ahead,
    three_peers_vote_and_a_fourth_stores_only, the_death_of_the_leading_machine_stops_writing_only_for_a_moment,
    a_kill_at_any_moment_of_joining_or_leaving_ends_well, voters_removed_in_a_row_leave_the_others_able_to_write,
    the_only_voter_hands_over_before_it_leaves,
    a_voter_removed_while_another_is_dead_votes_on_while_it_is_needed, a_voter_that_lost_its_etcd_joins_anew,
    an_etcd_that_dies_is_started_again, an_etcd_that_has_used_up_its_quota_is_cleaned_and_written_again,
    a_full_disk_gets_back_what_was_kept_for_etcd, who_may_not_join_is_told_why,
    a_stranger_gets_an_alert_and_no_byte_from_any_port_of_a_cluster,
    a_copy_of_a_voters_directory_never_votes, a_cluster_without_quorum_is_recovered_on_one_peer,
    a_cluster_without_voters_is_recovered_from_the_state_of_a_peer_that_had_no_vote]
