import assert from 'node:assert/strict'
import {
  type Coverage,
  type LogEvent,
  type LogSource,
  type RegisterProof,
  registerName,
  timeline,
} from '../../../attestation/event-log/index.ts'

function logEvent(source: LogSource, index: number, pcr: number, coverage: Coverage = 'data'): LogEvent {
  const register = { kind: 'pcr', index: pcr } as const
  return {
    source,
    index,
    register,
    digests: {},
    type: 'test',
    coverage,
    why: `${coverage} says the reader`,
    text: `${source} ${index}`,
  }
}

const LOGS = [
  {
    source: 'firmware' as const,
    events: [
      logEvent('firmware', 0, 0, 'not-extended'),
      logEvent('firmware', 1, 9),
      logEvent('firmware', 2, 4, 'digest'),
      logEvent('firmware', 3, 9, 'mismatch'),
    ],
  },
  {
    source: 'systemd' as const,
    events: [logEvent('systemd', 0, 9), logEvent('systemd', 1, 9), logEvent('systemd', 2, 11)],
  },
]

function proofs(of: (pcr: number) => RegisterProof): string[] {
  return [...timeline(LOGS, ({ index }) => of(index))].map(({ event, proof }) => `${event.text}: ${proof}`)
}

describe('a timeline', () => {
  it('counts the events of a register through all logs, and says what the quote proves of each', () => {
    const said = proofs((pcr) =>
      pcr === 11 ? { state: 'not-quoted' } : { state: 'replayed', proven: pcr === 9 ? 3 : 1 },
    )
    assert.deepEqual(said, [
      'firmware 0: not-extended',
      'firmware 1: data',
      'firmware 2: digest',
      'firmware 3: refuted', // its data is not what its digest says
      'systemd 0: data',
      'systemd 1: not-yet',
      'systemd 2: not-quoted',
    ])
  })

  it('proves nothing of a register that does not replay', () => {
    assert.ok(
      proofs(() => ({ state: 'refuted' }))
        .slice(1)
        .every((line) => line.endsWith(': refuted')),
    )
  })

  it('tells one register alone when asked for it', () => {
    const only = [...timeline(LOGS, () => ({ state: 'replayed', proven: 9 }), { kind: 'pcr', index: 9 })]
    assert.deepEqual(
      only.map(({ event }) => event.text),
      ['firmware 1', 'firmware 3', 'systemd 0', 'systemd 1'],
    )
  })

  it('makes an event only when it is asked for', () => {
    let made = 0
    function* events(): Generator<LogEvent> {
      for (;;) yield logEvent('ima', made++, 10)
    }
    const told = timeline([{ source: 'ima', events: events() }], () => ({ state: 'replayed', proven: 2 }))
    assert.equal(told.next().value?.proof, 'data')
    assert.equal(made, 1)
  })

  it("says why: the reader's reason for what is proved, the register's for what is not", () => {
    const [, first, , , , last] = [...timeline(LOGS, () => ({ state: 'replayed', proven: 3 }))]
    assert.equal(first?.why, 'data says the reader')
    assert.match(last?.why ?? '', /ahead of the quote in PCR 9/)
  })

  it('names registers as people do', () => {
    assert.equal(registerName({ kind: 'pcr', index: 7 }), 'PCR 7')
    assert.equal(registerName({ kind: 'rtmr', index: 2 }), 'RTMR 2')
    assert.equal(registerName({ kind: 'nv', index: 0x1d10202 }), 'NV index 0x1d10202')
  })
})
