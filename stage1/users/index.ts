export {
  ADMIN_GROUP,
  AGENT_USER,
  believes,
  findGroup,
  findUser,
  LOOK_GROUP,
  STORE_USER,
  type StoreOwners,
  storeOwners,
  type User,
  vouches,
} from './accounts.ts'
export { becomeUser, UserError } from './become-user.ts'
