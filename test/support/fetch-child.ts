// Fetches an image in a process of its own and prints each step, so that a test can kill it in between.
import { fetchImage, openImageStore } from '../../stage1/image/index.ts'

const [dir = '', reference = '', relax] = process.argv.slice(2)
await fetchImage(openImageStore(dir), reference, {
  cwd: '/',
  ...(relax === 'http' && { relax: ['http'] }),
  onProgress: ({ step }) => process.stdout.write(`${step}\n`),
})
