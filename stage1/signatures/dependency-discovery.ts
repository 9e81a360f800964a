import type { DependencyDiscovery } from '../image/index.ts'
import { provenanceCheck } from './check-provenance.ts'
import type { ProvenanceOptions } from './provenance-options.ts'

/**
 * How a fetch gets what an ACI depends on: by App Container discovery, and the policy is asked about each by its own
 * name and signature. A signature or name that was given is of the image that was asked for, and of none below it.
 */
export function dependencyDiscovery(
  options: Omit<ProvenanceOptions, 'signatureFile' | 'expectedName'>,
): DependencyDiscovery {
  const { config, acceptUnsigned, now } = options
  return {
    discover: async (client, dependency) => {
      // loaded where it is needed: a launch of what is in the store asks no server
      const { dependencyName, discoverImage, machineLabels } = await import('./discover-image.ts')
      const name = dependencyName(dependency, machineLabels())
      return name && discoverImage(client, name)
    },
    checkProvenance: provenanceCheck({ config, acceptUnsigned, now }),
  }
}
