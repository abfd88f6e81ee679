import Multiformats
import Pinset
import ShardPlanner

/// What clients ask a coordinator for.
extension SimulatedPeer {
    /// Opens an upload, however often the same one is asked for.
    func open(_ plan: UploadPlan, _ answer: @escaping (UploadAnswer) -> Void) {
        guard isReady else { return }
        if state.upload(plan.id) != nil || live.contains(plan.id) {
            return tell(plan.id, answer)
        }
        live.insert(plan.id)
        let options = UploadOptions(
            name: "upload", policy: plan.policy,
            shardLimitByteCount: UploadPlan.shardUnitCount * UploadPlan.unitByteCount,
            coordinator: id,
            expectedByteCount: plan.isLengthKnown ? Content.fileByteCount(plan.unitCount) : nil)
        let begin = { [self] in
            perform(.openUpload(plan.id, options)) { [self] outcome in
                guard outcome == .done else {
                    disk.journals[plan.id] = nil
                    live.remove(plan.id)
                    look()
                    return answer(outcome?.refusal?.isForSpace == true ? .refused : .gone)
                }
                if !plan.isResumable { sessions[plan.id] = SimulatedSession(plan, on: self) }
                touched[plan.id] = world.now
                answer(.offset(0))
            }
        }
        guard plan.isResumable else { return begin() }
        onDisk("begin a journal", needsRoom: true) { [self] hasRoom in
            guard hasRoom else {
                live.remove(plan.id)
                return answer(.refused)
            }
            disk.journals[plan.id] = SimulatedDisk.Journal(plan: plan)
            begin()
        }
    }

    /// Where an upload stands.
    func tell(_ upload: UploadID, _ answer: @escaping (UploadAnswer) -> Void) {
        guard isReady else { return }
        if let other = otherCoordinator(of: upload) {
            return forward(to: other, answer) { $0.tell(upload, $1) }
        }
        touched[upload] = world.now
        switch state.upload(upload)?.phase {
        case .committed(let root, _): answer(.complete(root))
        case .aborted: answer(.gone)
        case nil: if !live.contains(upload) { answer(.gone) }
        case .open:
            guard let session = session(upload) else {
                if !live.contains(upload) { answer(.gone) }
                return
            }
            answer(.offset(session.acknowledged))
        }
    }

    func append(
        _ units: [Unit], at offset: Int, to upload: UploadID,
        _ answer: @escaping (UploadAnswer) -> Void
    ) {
        guard isReady else { return }
        if let other = otherCoordinator(of: upload) {
            return forward(to: other, answer) { $0.append(units, at: offset, to: upload, $1) }
        }
        touched[upload] = world.now
        guard let session = session(upload) else { return tell(upload, answer) }
        session.append(units, at: offset, answer)
    }

    func finish(_ upload: UploadID, _ answer: @escaping (UploadAnswer) -> Void) {
        guard isReady else { return }
        if let other = otherCoordinator(of: upload) {
            return forward(to: other, answer) { $0.finish(upload, $1) }
        }
        guard let session = session(upload) else { return tell(upload, answer) }
        session.finish(answer)
    }

    /// The peer that takes an upload in; `nil` also when that one was removed, and with it the upload.
    private func otherCoordinator(of upload: UploadID) -> SimulatedPeer? {
        guard let coordinator = state.upload(upload)?.options.coordinator, coordinator != id,
            state.peer(coordinator) != nil
        else { return nil }
        return world.peer(coordinator)
    }

    private func forward(
        to other: SimulatedPeer, _ answer: @escaping (UploadAnswer) -> Void,
        _ request: @escaping (SimulatedPeer, @escaping (UploadAnswer) -> Void) -> Void
    ) {
        world.send(from: number, to: other, "forwarded") { [world] other in
            request(other) { result in world.answer("forwarded answer") { answer(result) } }
        }
    }

    /// The session of an open upload, made anew from its journal if need be.
    private func session(_ upload: UploadID) -> SimulatedSession? {
        if let session = sessions[upload] { return session.isOver ? nil : session }
        guard let journal = disk.journals[upload], live.contains(upload),
            state.upload(upload)?.isOpen == true
        else { return nil }
        let session = SimulatedSession(journal.plan, on: self)
        sessions[upload] = session
        session.resume(journal)
        return session
    }

    private static let lease = 60_000

    /// Removes what others have ended, and ends what nobody has asked for in a long time.
    func sweepUploads() {
        guard isReady else { return }
        for upload in disk.journals.keys.sorted() {
            switch state.upload(upload)?.phase {
            case .aborted:
                sessions[upload]?.abandon()
                disk.journals[upload] = nil
                disk.removeStaging(of: upload)
                live.remove(upload)
                look()
            case .open where world.now - touched[upload, default: world.now] > Self.lease:
                sessions[upload]?.abandon()
                world.count(.abandonedUpload)
                perform(.abortUpload(upload, reason: "nobody asks for it")) { _ in }
            default: touched[upload] = touched[upload] ?? world.now
            }
        }
        // A request whose client has gone ends with its connection.
        for upload in sessions.keys.sorted() where disk.journals[upload] == nil {
            if world.now - touched[upload, default: world.now] > Self.lease {
                sessions[upload]?.giveUp()
            }
        }
    }

    func unpin(_ root: CID, _ answer: @escaping (Outcome) -> Void) {
        guard isReady else { return }
        perform(.unpin(root)) { outcome in if let outcome { answer(outcome) } }
    }
}
