// Commits decisions to the store named by its argument and writes one byte for each that is on the disk, until it is
// killed.
import { writeSync } from 'node:fs'
import { openStore, operate } from '../../attestation/store/index.ts'

const store = await openStore(process.argv[2] ?? '', { exclusive: true, create: true })
const nodeId = '1'.padStart(64, '0')
const ak = { public: Uint8Array.of(1), name: `000b${nodeId}`, certificate: Uint8Array.of(2) }
await store.enrol({ nodeId, ekPublic: Uint8Array.of(3), ak, attributes: {}, admission: { kind: 'pending' } })
await operate(store, nodeId, { act: 'admit' }, 'test')
for (let n = 0; ; n++) {
  const digest = n.toString(16).padStart(64, '0')
  await store.saveDecision(
    {
      nodeId,
      podUuid: '11111111-2222-3333-4444-555555555555',
      outcome: 'allowed',
      reasons: [],
      ticketId: digest.slice(32),
      tier: 'affirming',
      request: Buffer.alloc(600),
      requestSha256: digest,
    },
    {
      node: { nodeId, generation: 2, revision: n },
      state: `{"n":${n}}`,
      evidence: { sha256: digest, kind: 'evidence', bytes: Buffer.alloc(2000) },
    },
  )
  writeSync(1, '.')
}
