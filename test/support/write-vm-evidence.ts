import { writeFileSync } from 'node:fs'
import { encodeEvidenceFile } from '../../attestation/evidence-file/index.ts'
import { vmEvidence, vmNames } from './vm-evidence.ts'

// node --import=tsx test/support/write-vm-evidence.ts GUEST FILE: evidence to try `holdfast evidence` with, without a
// TPM

const [name = '', file = ''] = process.argv.slice(2)
if (!vmNames().includes(name) || file === '') {
  console.error(`name a guest (${vmNames().join(', ')}) and a file`)
  process.exit(1)
}
writeFileSync(file, encodeEvidenceFile(vmEvidence(name)), { mode: 0o600 })
