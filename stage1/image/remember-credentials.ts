import { credentialsFor, remember } from './credentials.ts'
import { atDockerHub } from './registry.ts'
import { type RegistrySettings, readRegistrySettings } from './registry-settings.ts'

/**
 * Asks for the passwords of a registry, its mirrors too, before the process is one of another user, who cannot read
 * them. Of all the passwords that root has these alone stay in memory. What goes wrong is said when one is asked for.
 */
export async function rememberCredentials(
  { registry, repository }: { readonly registry: string; readonly repository: string },
  registriesFile: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const mirrors = settingsOf(registry, registriesFile)?.mirrors ?? []
  const places = [
    atDockerHub(registry, repository),
    ...mirrors.map(({ host, prefix }) => [host, prefix + repository] as const),
  ]
  for (const [host, name] of places) await remember(host, name, credentialsFor(host, name, environment))
}

function settingsOf(registry: string, file: string | undefined): RegistrySettings | undefined {
  try {
    return readRegistrySettings(file).get(registry)
  } catch {
    return undefined // the fetch reads them again
  }
}
