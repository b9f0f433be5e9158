"""What a page holds, by the standard library's parser."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags, ids, addresses and text of an HTML page.

    Attributes
    ----------
    tags : list of (str, dict)
    ids, addresses, images : list of str
        Images are alternative texts.
    text, words : str
        As it stands, and with single spaces.
    """

    def __init__(self, path):
        super().__init__()
        self.tags, self.ids, self.addresses, self.images, self.text = [], [], [], [], ""
        self._hidden = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self._hidden += tag in ("script", "style")
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.addresses += [attrs[key] for key in ("href", "src", "action", "data") if key in attrs]
        self.images += [attrs.get("alt", "")] if tag == "img" else []

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        self.text += "" if self._hidden else data

    def all(self, tag):
        """The attributes of each tag of a name."""
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self):
        return " ".join(self.text.split())
