import { Command } from 'commander'
import { canonicalJson } from '../../attestation/base/index.ts'
import { findImage, openImageStore } from '../image/index.ts'
import { giveUpRoot } from './give-up-root.ts'
import { DEFAULT_DIR } from './installation.ts'

interface CatManifestOptions {
  readonly dir: string
  readonly prettyPrint: boolean
}

/** `holdfast image cat-manifest` */
export function catManifestCommand(): Command {
  return new Command('cat-manifest')
    .description('Print the appc image manifest; of an OCI image, the one that stands for its configuration.')
    .argument('<image>', 'name or ID')
    .option('--no-pretty-print', 'on one line')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', '\nExample:\n  holdfast image cat-manifest busybox | jq .app.exec\n')
    .action((text: string, { dir, prettyPrint }: CatManifestOptions) => {
      const store = openImageStore(dir)
      giveUpRoot(store)
      const { manifest } = findImage(store, text, process.cwd())
      const json = prettyPrint ? JSON.stringify(manifest, undefined, 2) : canonicalJson(manifest)
      process.stdout.write(`${json}\n`)
    })
}
