import { LaunchLog } from '../../../agent/launch-log/index.ts'
import { pcrIndex } from '../../../attestation/tpm2/index.ts'
import { FaultyDisk, Steps } from '../launch-log/faulty-storage.ts'
import type { SoftTpmPort } from './soft-tpm-port.ts'

/** A launch log in memory on a software TPM. */
export function softLog(tpm: SoftTpmPort): Promise<LaunchLog> {
  return LaunchLog.open({
    storage: new FaultyDisk().storage(new Steps()),
    tpm,
    pcr: pcrIndex(15),
    banks: tpm.soft.banks,
    agentRecord: (found) => ({
      ...{ record: 'agent', version: 't', programSha256: 'c'.repeat(64), configSha256: 'd'.repeat(64) },
      ...{ mode: 'enforce', found, verifierKeys: [] },
    }),
    onBreak: () => {},
  })
}
