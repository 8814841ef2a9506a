// Chooses how leaves are found; see leaf_finder.h.
#include "leaf_finder.h"

namespace sidecall::native {

LeafFinders make_leaf_finders(const Ensemble& ensemble, const OrderedTrees& trees,
                              Vectors vectors) {
  LeafFinders finders = make_leaf_sets(ensemble, trees, vectors);
  if (finders.row != nullptr && finders.block != nullptr) return finders;
  const LeafFinders walks = make_walks(ensemble, trees, vectors);
  if (finders.row == nullptr) finders.row = walks.row;
  if (finders.block == nullptr) finders.block = walks.block;
  return finders;
}

}  // namespace sidecall::native
