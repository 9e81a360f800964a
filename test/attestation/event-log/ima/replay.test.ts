import assert from 'node:assert/strict'
import { concatBytes, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest, type HashAlgorithm } from '../../../../attestation/crypto/index.ts'
import {
  type ImaReplayState,
  type ImaVisitor,
  imaReplayRestart,
  imaReplayStart,
  knownImaEntries,
  replayIma,
} from '../../../../attestation/event-log/index.ts'
import {
  bootAggregateEntry,
  bufferEntry,
  encodeEntry,
  encodeList,
  fileEntry,
  type ImaEntrySpec,
  registerAfter,
  violationEntry,
} from '../../../support/ima-log.ts'

const LIST: readonly ImaEntrySpec[] = [
  bootAggregateEntry(),
  fileEntry('/usr/bin/true', 'true'),
  fileEntry('/usr/bin/signed', 'signed', Uint8Array.of(3, 2, 4, 1, 2, 3, 4, 0, 1, 9)),
  bufferEntry('kexec-cmdline', utf8('quiet')),
  violationEntry('/var/log/wtmp'),
  { template: 'ima', fields: [digest('sha1', utf8('old')), utf8('/sbin/old')] },
  fileEntry('/usr/bin/false', 'false'),
]
const BANKS: readonly HashAlgorithm[] = ['sha1', 'sha256', 'sha384', 'sha512']

/** Sees what a judge would see. */
function watcher(mark: number): ImaVisitor & { readonly seen: number[]; known_: number } {
  const self = {
    seen: [] as number[],
    known_: 0,
    restart: () => {
      self.seen.length = 0
      self.known_ = 0
    },
    visit: (c: { index: number }, violation: boolean) => {
      self.seen.push(c.index)
      return violation ? 0 : mark
    },
    known: (got: number) => {
      assert.equal(got, mark)
      self.known_++
    },
  }
  return self
}

describe('replayIma', () => {
  for (const hash of BANKS) {
    for (const bank of BANKS) {
      it(`replays a list of ${hash} template digests to the ${bank} bank`, () => {
        const replay = replayIma(imaReplayStart([bank]), encodeList(LIST, hash), { [bank]: registerAfter(LIST, bank) })
        assert.equal(replay.proved, true)
        assert.equal(replay.restBytes, 0)
        assert.deepEqual(
          { ...replay.state, banks: Object.keys(replay.state.banks[bank] ?? {}) },
          {
            pcr: 10,
            templateHash: hash,
            banks: ['template-data'],
            offset: encodeList(LIST, hash).length,
            entries: 7,
            violations: 1,
            elsewhere: 0,
          },
        )
      })
    }
  }

  it('finds that a kernel pads SHA-1, and keeps to it', () => {
    const list = encodeList(LIST)
    const first = encodeList(LIST.slice(0, 3)).length
    const quotedAfter = (n: number) => ({ sha256: registerAfter(LIST.slice(0, n), 'sha256', 'sha1-padded') })
    const one = replayIma(imaReplayStart(['sha256']), list.subarray(0, first), quotedAfter(3))
    assert.equal(one.proved, true)
    assert.deepEqual(Object.keys(one.state.banks.sha256 ?? {}), ['sha1-padded'])
    assert.equal(replayIma(one.state, list.subarray(first), quotedAfter(7)).proved, true)
    const other = registerAfter(LIST.slice(3), 'sha256', 'template-data', quotedAfter(3).sha256)
    assert.equal(replayIma(one.state, list.subarray(first), { sha256: other }).proved, false)
  })

  it('goes on from every proved entry as if the list had been replayed at once', () => {
    let state: ImaReplayState = imaReplayStart(['sha1', 'sha256'])
    for (let n = 1; n <= LIST.length; n++) {
      const quoted = {
        sha1: registerAfter(LIST.slice(0, n), 'sha1'),
        sha256: registerAfter(LIST.slice(0, n), 'sha256'),
      }
      const replay = replayIma(state, encodeEntry(LIST[n - 1] as ImaEntrySpec), quoted) // n counts LIST
      assert.equal(replay.proved, true)
      assert.equal(replay.state.entries, n)
      state = JSON.parse(JSON.stringify(replay.state)) as ImaReplayState // it is plain data
    }
    const last = { sha1: registerAfter(LIST, 'sha1'), sha256: registerAfter(LIST, 'sha256') }
    const nothingNew = replayIma(state, new Uint8Array(0), last)
    assert.equal(nothingNew.proved, true)
    assert.deepEqual(nothingNew.state, state)
  })

  it('stops where the list runs ahead of the quote, and looks at nothing behind', () => {
    const cut = LIST.slice(0, 3)
    const seen = watcher(0)
    const broken = concatBytes(encodeList(cut), Uint8Array.of(1, 2, 3))
    const replay = replayIma(
      imaReplayStart(['sha256']),
      broken,
      { sha256: registerAfter(cut, 'sha256') },
      { visitor: seen },
    )
    assert.equal(replay.proved, true)
    assert.equal(replay.restBytes, 3)
    assert.deepEqual(seen.seen, [0, 1, 2])
  })

  it('proves nothing where no prefix is the quoted one, but can go on with the next piece, whatever the kernel extends', () => {
    for (const rule of ['template-data', 'sha1-padded'] as const) {
      const at = encodeList(LIST.slice(0, 4)).length
      const quoted = { sha256: registerAfter(LIST, 'sha256', rule) }
      const first = replayIma(imaReplayStart(['sha256']), encodeList(LIST).subarray(0, at), quoted)
      assert.equal(first.proved, false)
      assert.equal(first.state.entries, 4)
      const second = replayIma(first.state, encodeList(LIST).subarray(at), quoted)
      assert.equal(second.proved, true)
      assert.deepEqual(Object.keys(second.state.banks.sha256 ?? {}), [rule])
    }
  })

  it('replays banks along that a quote does not show', () => {
    const half = LIST.slice(0, 4)
    const first = replayIma(imaReplayStart(['sha1', 'sha256']), encodeList(half), {
      sha256: registerAfter(half, 'sha256'),
    })
    const rest = encodeList(LIST.slice(4))
    const second = replayIma(first.state, rest, { sha1: registerAfter(LIST, 'sha1') })
    assert.equal(second.proved, true)
    assert.throws(() => replayIma(first.state, rest, { sha384: registerAfter(LIST, 'sha384') }), RangeError)
    assert.throws(() => replayIma(first.state, rest, {}), RangeError)
  })

  it('names a bank that another one does not agree with', () => {
    const quoted = { sha1: registerAfter(LIST.slice(0, 6), 'sha1'), sha256: registerAfter(LIST, 'sha256') }
    const replay = replayIma(imaReplayStart(['sha1', 'sha256']), encodeList(LIST), quoted)
    assert.equal(replay.proved, false)
    assert.deepEqual(replay.disagreeing, ['sha1'])
  })

  it('leaves entries of other registers out and counts them', () => {
    const mixed = [LIST[0] as ImaEntrySpec, { ...fileEntry('/bin/x', 'x'), pcr: 11 }, ...LIST.slice(1)]
    const replay = replayIma(imaReplayStart(['sha256']), encodeList(mixed), { sha256: registerAfter(LIST, 'sha256') })
    assert.equal(replay.proved, true)
    assert.equal(replay.state.elsewhere, 1)
    assert.equal(replay.state.entries, 8)
  })

  it('goes on with the register and begins the list anew after a kexec', () => {
    const before = replayIma(imaReplayStart(['sha256']), encodeList(LIST), { sha256: registerAfter(LIST, 'sha256') })
    const next = [bootAggregateEntry(), fileEntry('/usr/bin/next', 'next')]
    const quoted = { sha256: registerAfter(next, 'sha256', 'template-data', registerAfter(LIST, 'sha256')) }
    assert.equal(replayIma(imaReplayStart(['sha256']), encodeList(next), quoted).proved, false)
    const next2 = replayIma(imaReplayRestart(before.state), encodeList(next), quoted)
    assert.equal(next2.proved, true)
    assert.equal(next2.state.entries, 2)
  })

  describe('knowing entries', () => {
    it('gives the same register and asks nothing of what it knows', () => {
      const known = knownImaEntries('sha256')
      const quoted = { sha256: registerAfter(LIST, 'sha256') }
      const first = watcher(7)
      replayIma(imaReplayStart(['sha256']), encodeList(LIST), quoted, { visitor: first, known })
      assert.equal(first.seen.length, 7)
      const second = watcher(7)
      const replay = replayIma(imaReplayStart(['sha256']), encodeList(LIST), quoted, { visitor: second, known })
      assert.equal(replay.proved, true)
      assert.equal(second.known_, 6)
      assert.deepEqual(second.seen, [4], 'a violation is asked about each time')
    })

    it('does not take an entry with one byte changed for the one it knows', () => {
      const known = knownImaEntries('sha256')
      const good = encodeEntry(LIST[1] as ImaEntrySpec)
      const quoted = { sha256: registerAfter(LIST.slice(1, 2), 'sha256') }
      replayIma(imaReplayStart(['sha256']), good, quoted, { visitor: watcher(1), known })
      const [nameAt, nameEnd] = [28, 34]
      const isName = (i: number) => i >= nameAt && i < nameEnd
      for (let i = 24; i < good.length; i++) {
        const changed = Uint8Array.from(good)
        changed[i] = (changed[i] as number) ^ 1 // i is inside
        const visitor = watcher(1)
        const replay = () =>
          replayIma({ ...imaReplayStart(['sha256']), templateHash: 'sha1' }, changed, quoted, { visitor, known })
        // no digest covers the template's name: the entry replays, and is another one
        if (isName(i)) assert.equal(replay().proved, true)
        else assert.throws(replay, { name: 'EventLogError' }, `byte ${i}`)
        assert.equal(visitor.known_, 0)
      }
    })

    it('does not serve a bank or a rule that the digests are not of', () => {
      const known = knownImaEntries('sha256')
      replayIma(
        imaReplayStart(['sha256']),
        encodeList(LIST),
        { sha256: registerAfter(LIST, 'sha256') },
        { visitor: watcher(1), known },
      )
      for (const [bank, rule] of [
        ['sha384', 'template-data'],
        ['sha256', 'sha1-padded'],
      ] as const) {
        const quoted = { [bank]: registerAfter(LIST, bank, rule) }
        assert.equal(
          replayIma(imaReplayStart([bank]), encodeList(LIST), quoted, { visitor: watcher(1), known }).proved,
          true,
        )
      }
      const otherForm = replayIma(
        imaReplayStart(['sha256']),
        encodeList(LIST, 'sha256'),
        { sha256: registerAfter(LIST, 'sha256') },
        { visitor: watcher(1), known },
      )
      assert.equal(otherForm.proved, true)
    })

    it('stays right when it is full', () => {
      const known = knownImaEntries('sha256')
      const many = Array.from({ length: 18_000 }, (_, i) => fileEntry(`/${'d'.repeat(880)}/${i}`, `${i}`))
      const list = encodeList(many)
      const quoted = { sha256: registerAfter(many, 'sha256') }
      for (let round = 0; round < 2; round++) {
        assert.equal(replayIma(imaReplayStart(['sha256']), list, quoted, { visitor: watcher(1), known }).proved, true)
      }
    })
  })

  describe('refuses', () => {
    const quoted = { sha256: registerAfter(LIST, 'sha256') }
    const attacks: readonly { name: string; list: Uint8Array; code?: string }[] = [
      { name: 'an entry removed', list: encodeList(LIST.filter((_, i) => i !== 1)) },
      { name: 'entries swapped', list: encodeList([LIST[0], LIST[2], LIST[1], ...LIST.slice(3)] as ImaEntrySpec[]) },
      { name: 'an entry added', list: encodeList([LIST[0] as ImaEntrySpec, fileEntry('/x', 'x'), ...LIST.slice(1)]) },
      { name: 'an entry twice', list: encodeList([...LIST.slice(0, 2), LIST[1] as ImaEntrySpec, ...LIST.slice(2)]) },
      {
        name: 'an entry made a violation',
        list: encodeList(LIST.map((entry, i) => (i === 1 ? { ...entry, violation: true } : entry))),
      },
      {
        name: 'a violation made an entry',
        list: encodeList(LIST.map((entry, i) => (i === 4 ? { ...entry, violation: false } : entry))),
      },
      {
        name: 'an entry moved to another register',
        list: encodeList(LIST.map((entry, i) => (i === 1 ? { ...entry, pcr: 11 } : entry))),
      },
      {
        name: 'a path changed under its template digest',
        list: encodeList(
          LIST.map((entry, i) =>
            i !== 1 ? entry : { ...fileEntry('/usr/bin/trve', 'true'), templateDigest: digest('sha1', utf8('x')) },
          ),
        ),
        code: 'EVENT_LOG_DIGEST_MISMATCH',
      },
    ]
    for (const { name, list, code } of attacks) {
      it(name, () => {
        if (code !== undefined) assert.throws(() => replayIma(imaReplayStart(['sha256']), list, quoted), { code })
        else assert.equal(replayIma(imaReplayStart(['sha256']), list, quoted).proved, false)
      })
    }

    it("names the entry and the offset of a template digest that is not its data's", () => {
      const list = encodeList([
        LIST[0] as ImaEntrySpec,
        { ...fileEntry('/x', 'x'), templateDigest: new Uint8Array(20).fill(1) },
      ])
      const offset = encodeEntry(LIST[0] as ImaEntrySpec).length
      assert.throws(() => replayIma(imaReplayStart(['sha256']), list, quoted), {
        code: 'EVENT_LOG_DIGEST_MISMATCH',
        position: { offset, recnum: 1 },
      })
    })

    it('a list of a big-endian machine, saying so', () => {
      const entry = encodeEntry(LIST[1] as ImaEntrySpec)
      entry.subarray(0, 4).reverse()
      assert.throws(() => replayIma({ ...imaReplayStart(['sha256']), templateHash: 'sha1' }, entry, quoted), {
        code: 'EVENT_LOG_BAD_NUMBER',
        message: /big-endian.*ima_canonical_fmt/,
      })
    })
  })

  it('comes to the value of a register extended by hand', () => {
    const data = concatBytes(...(LIST[1]?.fields.flatMap((f) => [Uint8Array.of(f.length, 0, 0, 0), f]) ?? []))
    const value = digest('sha256', new Uint8Array(32), digest('sha256', data))
    assert.equal(toHex(registerAfter(LIST.slice(1, 2), 'sha256')), toHex(value))
  })
})
