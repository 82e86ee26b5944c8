/** Whether there are no unpaired surrogates in it: they have no UTF-8 form. */
export function hasUtf8Form(text: string): boolean {
  // With the u flag a surrogate only matches where it has no partner.
  return !/\p{Surrogate}/u.test(text);
}
